"""A dry run says what an ingest would do, and changes nothing."""

import hashlib
import os
import re
import tarfile
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hemometric.demo
from hemometric.corpus import ColumnsTable, HashSplit, IngestConfig
from hemometric.corpus.measurements import ItemLabel, LongTable, Pair
from hemometric.errors import UsageError
from hemometric.runs import ingest, ingest_estimate
from hemometric.runs.ingest import IngestRun

BUNDLED = Path(hemometric.demo.__file__).parent / "data" / "ptbxl" / "records100"


def key_in(folder: Path) -> Path:
    path = folder / "key"
    path.touch(mode=0o600)
    path.write_text("0123456789abcdef" * 4)
    return path


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def told(lines: list[str], start: str) -> str:
    return next(line for line in lines if line.startswith(start))


@pytest.fixture
def config(tmp_path: Path) -> IngestRun:
    return IngestRun(sources=(BUNDLED,), out=tmp_path / "out", key=key_in(tmp_path), workers=0)


def test_what_is_said_comes_true(config: IngestRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_estimate, "SAMPLE", 40)
    before = contents(tmp_path)
    lines = ingest_estimate.run(config)
    assert contents(tmp_path) == before
    assert not config.out.exists()
    num = len(list(BUNDLED.rglob("*.hea")))
    assert told(lines, "found").startswith(f"found: {num} recordings (wfdb {num}), ")
    assert told(lines, "new") == f"new {num}, known 0"
    assert told(lines, "table") == f"table: {num} recordings have a row, 0 have none"
    assert told(lines, "sample").startswith(f"sample: 40 of {num} read, ")
    ingest.run(config)
    size = sum(path.stat().st_size for path in (config.out / "shards").rglob("*.parquet"))
    expected = float(re.search(r"accepted before duplicates are left out, ([0-9.]+) MB", "\n".join(lines))[1]) * 1e6  # type: ignore[index]
    assert 0.5 * size < expected < 2 * size
    before = contents(tmp_path)
    lines = ingest_estimate.run(config)
    assert contents(tmp_path) == before
    assert told(lines, "new").startswith("new 0, known ")
    assert lines[-1] == "nothing new to read"


def test_a_file_of_many_ecgs_counts_once(config: IngestRun, tmp_path: Path) -> None:
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays" / "many.npy", np.zeros((50, 12, 1000), np.float32))
    npy = {"npy": {"rate_hz": 100, "unit": "mV", "axes": ("ecg", "lead", "sample")}}
    settings = IngestConfig(patients="recording_is_patient", formats=npy)
    config = config.model_copy(update={"sources": (tmp_path / "arrays",), "ingest": settings})
    assert told(ingest_estimate.run(config), "found") == "found: 50 recordings (npy 50), 2.40 MB"


def test_the_refused_are_counted_by_reason(config: IngestRun, tmp_path: Path) -> None:
    folder = tmp_path / "records"
    folder.mkdir()
    for number, header in enumerate(sorted(BUNDLED.rglob("*.hea"))[:8]):
        (folder / header.name).write_bytes(header.read_bytes())
        if number % 2:
            (folder / f"{header.stem}.dat").write_bytes(header.with_suffix(".dat").read_bytes())
    given = config.model_copy(update={"sources": (folder,), "ingest": IngestConfig(patients="recording_is_patient")})
    lines = ingest_estimate.run(given)
    assert told(lines, "sample") == "sample: 8 of 8 read, 50.0% refused (missing_file 4)"
    assert "would end without a corpus" in told(lines, "careful")


def test_it_refuses_what_the_ingest_would(config: IngestRun, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("taken")
    for update, sentence in (
        ({"sources": (tmp_path / "nothing",)}, "does not exist"),
        ({"out": tmp_path / "file"}, "a file has that name"),
        ({"key": tmp_path / "no-key"}, "key file .* does not exist"),
    ):
        with pytest.raises(UsageError, match=sentence):
            ingest_estimate.run(config.model_copy(update=update))


def test_what_a_killed_dry_run_unpacked_is_removed_by_the_next(
    config: IngestRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp))
    header = next(BUNDLED.rglob("*.hea"))
    with tarfile.open(tmp_path / "archive.tar.gz", "w:gz") as file:
        for suffix in (".hea", ".dat"):
            file.add(header.with_suffix(suffix), f"MILLER{suffix}")
    given = config.model_copy(update={"sources": (tmp_path / "archive.tar.gz",)})
    pid = os.fork()
    if pid == 0:
        monkeypatch.setattr(ingest_estimate, "_sampled", lambda _: os._exit(7))
        ingest_estimate.run(given)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert len(list(tmp.rglob("MILLER.*"))) == 2
    assert told(ingest_estimate.run(given), "found").startswith("found: 1 recording ")
    assert list(tmp.iterdir()) == []


@pytest.fixture
def catheter(config: IngestRun, tmp_path: Path) -> Callable[..., IngestRun]:
    """Give three ECGs of three patients at noon, of whom two have a wedge pressure an hour later."""
    folder = tmp_path / "records"
    folder.mkdir()
    ecgs, values = ["record,mrn,time"], ["mrn,time,item,vall,unit"]
    for number, header in enumerate(sorted(BUNDLED.rglob("*.hea"))[:3]):
        for suffix in (".hea", ".dat"):
            (folder / header.name).with_suffix(suffix).write_bytes(header.with_suffix(suffix).read_bytes())
        ecgs.append(f"{header.stem},P{number},2020-05-10T12:00:00")
        values.append(f"{'P' if number else 'X'}{number},2020-05-10T13:00:00,PCWP,18,mmHg")
    (tmp_path / "ecgs.csv").write_text("\n".join(ecgs) + "\n")
    (tmp_path / "values.csv").write_text("\n".join(values) + "\n")

    def make(*, items: tuple[str, ...] = ("PCWP",), acquired: str | None = "time", **changes: Any) -> IngestRun:
        labels = {"mpcwp_mmhg": ItemLabel(items=items, unit="mmHg")}
        columns = {"patient": "mrn", "time": "time", "item": "item", "value": "vall", "unit": "unit"} | changes
        long = LongTable(path=tmp_path / "values.csv", labels=labels, pair=Pair(before_h=0, after_h=24), **columns)
        table = ColumnsTable(path=tmp_path / "ecgs.csv", record="record", patient="mrn", acquired=acquired)
        ingest = IngestConfig(table=table, measurements=(long,))
        return config.model_copy(update={"sources": (folder,), "ingest": ingest})

    return make


def test_measurements_are_paired_to_the_sample(catheter: Callable[..., IngestRun]) -> None:
    lines = ingest_estimate.run(catheter())
    assert told(lines, "mpcwp_mmhg") == (
        "mpcwp_mmhg: the sample's ECGs no_partner 1, paired 2; its table's values used 3"
    )
    assert not [line for line in lines if "mpcwp_mmhg" in line and line.startswith("careful")]


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"items": ("PAWP",)}, "no row of its table is a value of mpcwp_mmhg; see its items"),
        ({"acquired": None}, "no ECG of the sample has a value of mpcwp_mmhg; see the ECGs' own time (table.acquired)"),
    ],
)
def test_no_pair_at_all_is_warned_of(catheter: Callable[..., IngestRun], changes: dict[str, Any], advice: str) -> None:
    lines = ingest_estimate.run(catheter(**changes))
    assert f"careful: {advice}" in lines


@pytest.mark.parametrize("changes", [{"value": "valeu"}, {"unit": "bananas"}, {"time": "when"}])
def test_what_is_wrong_with_a_table_of_measurements_is_said(
    catheter: Callable[..., IngestRun], changes: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match=next(iter(changes.values()))):
        ingest_estimate.run(catheter(**changes))


def test_times_of_a_zone_that_nobody_names_are_refused(catheter: Callable[..., IngestRun], tmp_path: Path) -> None:
    text = (tmp_path / "values.csv").read_text()
    (tmp_path / "values.csv").write_text(text.replace("13:00:00", "13:00:00Z"))
    with pytest.raises(UsageError, match="time_zone"):
        ingest_estimate.run(catheter())


def test_an_empty_split_is_warned_of(config: IngestRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_estimate, "SAMPLE", 40)
    split = HashSplit(train=0.8, validation=0.2, test=0.0)
    lines = ingest_estimate.run(config.model_copy(update={"ingest": IngestConfig(split=split)}))
    assert told(lines, "splits of the sample").endswith("test 0")
    assert "careful: no recording of the sample is in test; see ingest.split" in lines


def test_the_start_of_ray_is_counted(config: IngestRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_estimate, "SAMPLE", 2)
    assert "Ray" not in told(ingest_estimate.run(config), "reading")
    line = told(ingest_estimate.run(config.model_copy(update={"workers": 2})), "reading")
    assert re.search(r"about 0:1[5-9] for all, 15 s of it for Ray to start, with 2 workers", line)


def test_no_key_is_made(config: IngestRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_estimate, "default_key_path", lambda: tmp_path / "config" / "pseudonym.key")
    monkeypatch.setattr(ingest_estimate, "SAMPLE", 2)
    assert ingest_estimate.run(config.model_copy(update={"key": None}))
    assert not (tmp_path / "config").exists()


@pytest.mark.parametrize("num", [2, 3, 7, 100])
def test_samples_are_spread(num: int) -> None:
    places = list(range(10, 110))
    chosen = ingest_estimate.spread(places, num)
    assert len(set(chosen)) == num
    assert (chosen[0], chosen[-1]) == (10, 109)
    gaps = {after - before for before, after in pairwise(chosen)}
    assert max(gaps) - min(gaps) <= 1
    assert ingest_estimate.spread(places, 1000) == places
