"""One archive with a known number of each fault, ingested by the command: every count and every reason as planted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hemometric.ecg import INDEPENDENT_LEADS, LEADS
from hemometric.waveform import resample

NUM = 6
"""How often each fault is planted."""

EIGHT = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]
TIME_S = np.arange(5000) / 500.0
PEOPLE_WITHOUT_NAME = ("", " ", "NA", "null", "None", "NaN")
SPELLINGS = ("00123", "123 ", "0123", "\uff11\uff12\uff13", "123", "X-9")
"""Of one person: the rules make the first five alike, and the link file says that the last is the same."""

IDENTITY = {"rules": {"leading_zeros": "strip"}}

Signal = np.ndarray


@dataclass
class Archive:
    """A folder of files, each in a folder of its own, and what is true of it.

    Attributes
    ----------
    fates : dict
        From a folder's name to ``accepted``, or the reason code, of each ECG in it, sorted.
    flags : dict
        From the name of a folder with one accepted ECG to its flags.
    same : list of list of str
        Names of files that hold the same tracing: one is kept, whichever.
    people : set of str
        Those who must be told apart.
    """

    root: Path
    vendor_files: dict[str, Any]
    ecgs: Iterator[Signal]
    fates: dict[str, list[str]] = field(default_factory=dict)
    flags: dict[str, set[str]] = field(default_factory=dict)
    same: list[list[str]] = field(default_factory=list)
    people: set[str] = field(default_factory=set)
    table: list[str] = field(default_factory=lambda: ["record,patient"])
    num: int = 0

    def write(self, kind: str, signal: Signal, form: str = "wfdb", person: str | None = None, **how: Any) -> Path:
        """Write one file and give its path; `person` stands in it as it is, or is the file's own number."""
        from datetime import date, datetime

        self.num += 1
        folder = self.root / f"{kind}-{self.num:03d}"
        folder.mkdir(parents=True)
        known = {"patient_id": f"P{self.num}" if person is None else person, "age_years": 60, "sex": "female"}
        known |= {"name": "Doe^Jane", "birth_date": date(1959, 1, 1), "acquired": datetime(2019, 11, 5, 13, 37)}
        known |= {"serial": "S1", "note": "none"}
        return self.vendor_files[form].write(folder, signal, how.get("leads", LEADS), how.get("rate_hz", 500.0), known)  # type: ignore[no-any-return]

    def refused(self, reason: str, kind: str, signal: Signal, **how: Any) -> Path:
        path = self.write(kind, signal, **how)
        self.fates[path.parent.name] = [reason]
        return path

    def accepted(self, flags: set[str], kind: str, signal: Signal, form: str = "wfdb", **how: Any) -> Path:
        path = self.write(kind, signal, form, **how)
        items = getattr(self.vendor_files[form], "ITEMS", 1)
        # The second ECG of such a file is the first at half its size: the same tracing.
        self.fates[path.parent.name] = ["accepted", "duplicate"][:items]
        self.flags[path.parent.name] = flags
        if "person" not in how:
            self.people.add(path.parent.name)
        return path


def with_rows(signal: Signal, rows: Any, added: Signal) -> Signal:
    changed = signal.copy()
    changed[rows] += added
    return changed


def instead(old: str, new: str, path: Path, num: int = -1) -> None:
    """Change words of a header."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, num))


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def plant_refused(archive: Archive, draw: np.random.Generator) -> None:
    ecg = archive.ecgs
    for turn in range(NUM):
        cut(archive.refused("truncated", "cut", next(ecg)).with_suffix(".dat"))
        cut(archive.refused("truncated", "cut", next(ecg), form="dicom"))
        archive.refused("flat", "flat", np.full((12, 5000), 0.5 + turn / 10))
        holed = next(ecg).copy()
        holed[:, 1000:2500] = np.nan
        archive.refused("nan_samples", "nan-block", holed)
        instead("200(0)/mV", "0.2(0)/mV", archive.refused("amplitude_high", "thousandfold", next(ecg)))
        instead("200(0)/mV", "200(0)/uV", archive.refused("amplitude_low", "thousandth", next(ecg)))
        instead("200(0)/mV", "0.2(0)/mV", archive.refused("amplitude_high", "one-lead-thousandfold", next(ecg)), 1)
        swapped = (*LEADS[:3], "aVL", "aVR", *LEADS[5:])
        archive.refused("limb_lead_identity", "avr-avl", next(ecg), leads=swapped)
        archive.refused("limb_lead_identity", "i-ii", next(ecg), leads=("II", "I", *LEADS[2:]))
        gone = int(draw.integers(6, 12))
        rest = [row for row in range(12) if row != gone]
        archive.refused("missing_leads", "eleven", next(ecg)[rest], leads=tuple(LEADS[row] for row in rest))
        archive.refused("too_short", "one-second", next(ecg)[:, :500])
        archive.refused("rate_contradiction", "false-rate", next(ecg), rate_hz=100.0)
        archive.refused("missing_patient", "nobody", next(ecg), person=PEOPLE_WITHOUT_NAME[turn])


def plant_flagged(archive: Archive, draw: np.random.Generator) -> None:
    ecg = archive.ecgs
    for _ in range(NUM):
        holed = next(ecg).copy()
        holed[6:9, 1000:1300] = np.nan
        archive.accepted({"nan_samples"}, "nan-hole", holed)
        row = int(draw.integers(6, 12))
        still = next(ecg).copy()
        still[row, :4000] = 0.3
        archive.accepted({f"flat_lead:{LEADS[row]}"}, "flat-lead", still)
        clipped = next(ecg).copy()
        peak = clipped[row][np.abs(clipped[row]).argmax()]
        clipped[row] = np.clip(clipped[row], -abs(peak) / 2, abs(peak) / 2)
        archive.accepted({"saturated"}, "saturated", clipped)
        mains = 0.2 * np.sin(2 * np.pi * draw.choice([50.0, 60.0]) * TIME_S)
        archive.accepted({"mains_hum"}, "hum", with_rows(next(ecg), slice(6, 12), mains))
        slow = 1.5 * np.sin(2 * np.pi * draw.uniform(0.15, 0.35) * TIME_S)
        archive.accepted({"baseline_wander"}, "wander", with_rows(next(ecg), row, slow))
        ticks = np.zeros(5000)
        ticks[draw.integers(100, 4900, 8)] = 3.0
        archive.accepted({"spikes"}, "spikes", with_rows(next(ecg), slice(6, 12), ticks))
        archive.accepted({"padded"}, "padded", np.pad(next(ecg)[:, 500:4500], ((0, 0), (600, 400))))
        derived = {f"derived_lead:{lead}" for lead in ("III", "aVR", "aVL", "aVF")}
        archive.accepted(derived, "eight", next(ecg)[EIGHT], leads=INDEPENDENT_LEADS)
        i, ii, iii, avr, avl, avf, *chest = next(ecg)
        archive.accepted({"arm_reversal_suspected"}, "arms", np.stack([-i, iii, ii, avl, avr, avf, *chest]))
        order = draw.permutation(12)
        archive.accepted(set(), "permuted", next(ecg)[order], leads=tuple(LEADS[row] for row in order))


def plant_people(archive: Archive) -> None:
    for spelling in SPELLINGS:
        archive.accepted(set(), "spelt", next(archive.ecgs), person=spelling)
    archive.people.add("the one of all spellings")
    (archive.root.parent / "links.csv").write_text("id,same_as\nX-9,00123\n")


def plant_same(archive: Archive) -> None:
    """The same tracings: byte by byte, re-encoded, at another rate, a sample later, and under another's id."""
    for turn in range(NUM):
        one, other = f"D{turn}", f"E{turn}"
        signal = next(archive.ecgs)
        names = [
            archive.write("same", signal, person=one),
            archive.write("same-bytes", signal, person=one),
            archive.write("same-dicom", signal, form="dicom", person=one),
            archive.write("same-250", resample(signal, 500.0, 250.0), person=one, rate_hz=250.0),
            archive.write("same-shifted", signal[:, 1:], person=one),
            archive.write("same-muse", signal, form="ge-muse", person=other),
        ]
        archive.same.append([path.parent.name for path in names])
        # Each of the two has another ECG, and all of them are one person's by now.
        archive.accepted(set(), f"of-{turn}", next(archive.ecgs), person=one)
        archive.accepted(set(), f"of-{turn}", next(archive.ecgs), person=other)
        archive.people.add(one)


def plant_clean(archive: Archive) -> None:
    for form, module in archive.vendor_files.items():
        if form == "arrow":
            continue  # one ingest reads tables of one layout, and takes that of Parquet
        for _ in range(2):
            flags = {f"derived_lead:{lead}" for lead in ("III", "aVR", "aVL", "aVF")} if form == "ge-muse" else set()
            path = archive.accepted(flags, f"clean-{form}", next(archive.ecgs), form)
            if "patient_id" not in getattr(module, "STORED", ("patient_id",)):
                name = f"{path.parent.name}/{path.name}"
                items = [f"{name}/{item}" for item in range(2)] if getattr(module, "ITEMS", 1) == 2 else [name]
                archive.table += [f"{item},T{archive.num}" for item in items]
    for _ in range(40):
        archive.accepted(set(), "clean", next(archive.ecgs))


@pytest.fixture
def archive(tmp_path: Path, vendor_files: dict[str, Any], clean_ecgs: Callable[..., list[Signal]]) -> Archive:
    archive = Archive(tmp_path / "archive", vendor_files, iter(clean_ecgs(320, seed=11)))
    draw = np.random.default_rng(12)
    plant_refused(archive, draw)
    plant_flagged(archive, draw)
    plant_people(archive)
    plant_same(archive)
    plant_clean(archive)
    (tmp_path / "people.csv").write_text("\n".join(archive.table) + "\n")
    return archive


def test_every_fault_has_the_fate_that_was_planted(
    archive: Archive, ingested: Any, tmp_path: Path, formats: dict[str, Any]
) -> None:
    table = {"kind": "columns", "path": str(tmp_path / "people.csv"), "record": "record", "patient": "patient"}
    fields = {"table": table, "identity": IDENTITY | {"same": str(tmp_path / "links.csv")}, "formats": formats["csv"]}
    num_refused = sum(reason not in ("accepted", "duplicate") for fate in archive.fates.values() for reason in fate)
    num_found = sum(map(len, archive.fates.values())) + sum(map(len, archive.same))
    share = num_refused / num_found

    strict = ingested(archive.root, **fields, max_rejected_fraction=share - 1e-6)
    assert strict.ended.code == 3
    assert f"{num_refused} of {num_found} recordings were refused (" in strict.ended.err
    assert not (strict.corpus / "manifest.json").exists()

    done = ingested(archive.root, **fields, max_rejected_fraction=share + 1e-6)
    assert done.ended.code == 0, done.ended
    check_counts(archive, done)
    check_flags(archive, done)
    check_people(archive, done)

    before = {path: path.stat().st_mtime_ns for path in done.corpus.rglob("*.parquet")}
    again = ingested(archive.root, **fields, max_rejected_fraction=share + 1e-6)
    assert again.ended.code == 0
    assert "nothing to do" in again.ended.out
    assert {path: path.stat().st_mtime_ns for path in done.corpus.rglob("*.parquet")} == before


def check_counts(archive: Archive, done: Any) -> None:
    fates = done.fates()
    for names in archive.same:
        assert sorted(reason for name in names for reason in fates.pop(name)) == ["accepted", *["duplicate"] * 5]
    assert fates == archive.fates
    wanted = Counter(reason for fate in archive.fates.values() for reason in fate)
    wanted += Counter({"accepted": len(archive.same), "duplicate": 5 * len(archive.same)})
    counts = done.counts
    assert counts["found"] == wanted.total()
    assert counts["accepted"] == wanted.pop("accepted")
    assert counts["rejected"] == wanted
    assert len(wanted) == 11


def check_flags(archive: Archive, done: Any) -> None:
    """The precision and the recall of each flag; which lead it names is a part of being right."""
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    members = {name for names in archive.same for name in names}
    found = {name: set(row["flags"]) for name, row in done.rows("flags").items() if name not in members}
    assert found.keys() == archive.flags.keys()
    for name, wanted in archive.flags.items():
        right.update(flag.split(":")[0] for flag in wanted & found[name])
        wrong.update(flag.split(":")[0] for flag in found[name] - wanted)
        missed.update(flag.split(":")[0] for flag in wanted - found[name])
    assert set(right) == {
        "nan_samples", "flat_lead", "saturated", "mains_hum", "baseline_wander", "spikes", "padded", "derived_lead",
        "arm_reversal_suspected",
    }  # fmt: skip
    for flag in right:
        assert right[flag] / (right[flag] + wrong[flag]) >= 0.99, (flag, wrong)
        assert right[flag] / (right[flag] + missed[flag]) >= 0.99, (flag, missed)
    assert not wrong, wrong


def check_people(archive: Archive, done: Any) -> None:
    rows = done.rows("patient", "split")
    assert len({row["patient"] for row in rows.values()}) == len(archive.people)
    assert sum(split["patients"] for split in done.counts["splits"].values()) == len(archive.people)
    assert len({row["patient"] for name, row in rows.items() if name.startswith("spelt-")}) == 1
    for turn, names in enumerate(archive.same):
        of_one = [row for name, row in rows.items() if name in names or name.startswith(f"of-{turn}-")]
        assert len(of_one) == 3
        assert len({row["split"] for row in of_one}) == 1
    where = {(row["patient"], row["split"]) for row in rows.values()}
    assert len(where) == len(archive.people), "nobody is in two splits"
