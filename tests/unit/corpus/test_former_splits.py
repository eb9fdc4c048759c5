"""A recording that leaves the corpus comes back into the split that it was in, or not at all."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from hemometric.corpus import ColumnsTable, HashSplit, IngestConfig, Key, SiteSplit, open_corpus, verify
from hemometric.corpus.former_splits import UNSAID, FormerSplits, split_of, with_split
from hemometric.corpus.identity import Identity
from hemometric.corpus.stamps import CHANGED

Places = dict[str, str]


@pytest.fixture
def archive(tmp_path: Path, write_record, key: Key) -> Path:
    """Two recordings of a patient who trains, and one of a patient who tests; r3 is r0 again, at another rate."""
    who = {split: next(name for name in map(str, range(99)) if home(key, name) == split) for split in ("train", "test")}
    for name, seed in (("r0", 0), ("r1", 1), ("r2", 2)):
        write_record(tmp_path / "archive", name, seed=seed)
    write_table(tmp_path, {"r0": who["train"], "r1": who["train"], "r2": who["test"]})
    (tmp_path / "links.csv").write_text("id,same_as\n")
    (tmp_path / "late.csv").write_text(f"id,same_as\n{who['train']},{who['test']}\n")
    return tmp_path / "archive"


def home(key: Key, patient_id: str) -> str:
    return HashSplit().of_patient(key, key.patient(patient_id))


def write_table(folder: Path, patients: dict[str, str], site: str = "north") -> None:
    lines = [f"{name},{patient},{site}" for name, patient in patients.items()]
    (folder / "labels.csv").write_text("\n".join(["record,mrn,site", *lines]) + "\n")


def config_for(folder: Path, **fields: object) -> IngestConfig:
    table = ColumnsTable(path=folder / "labels.csv", record="record", patient="mrn", site="site")
    fields = {"identity": Identity(same=folder / "links.csv"), "max_rejected_fraction": 1.0, **fields}
    return IngestConfig(table=table, **fields)  # type: ignore[arg-type]


def link(folder: Path) -> None:
    (folder / "links.csv").write_text((folder / "late.csv").read_text())


def places(out: Path, key: Key, root: str = "archive") -> Places:
    """Say of each recording its split, or why it is left out."""
    corpus = open_corpus(out)
    rows = corpus.table(columns=["recording_id", "split"]).to_pylist()
    found = {row["recording_id"]: row["split"] for row in rows}
    found |= {row["recording_id"]: row["reason"] for row in corpus.quarantine().to_pylist()}
    names = {name: key.recording_id(f"{root}/{name}") for name in ("r0", "r1", "r2", "copy")}
    return {name: found[key_id] for name, key_id in names.items() if key_id in found}


ACROSS = "linked_across_splits"
OUT = {"r0": ACROSS, "r1": ACROSS, "r2": "test"}


def test_what_a_link_has_put_out_stays_out_when_the_quarantine_is_read_again(
    archive: Path, tmp_path: Path, ingest, key: Key
) -> None:
    config = config_for(tmp_path)
    ingest(config, [archive], tmp_path / "out", key)
    assert places(tmp_path / "out", key) == {"r0": "train", "r1": "train", "r2": "test"}
    link(tmp_path)
    for retry_quarantine in (False, True, True):
        manifest = ingest(config, [archive], tmp_path / "out", key, retry_quarantine=retry_quarantine)
        assert places(tmp_path / "out", key) == OUT
        assert manifest.counts.rejected == {ACROSS: 2}
        details = open_corpus(tmp_path / "out").quarantine()["detail"].to_pylist()
        assert [split_of(detail) for detail in details] == ["train", "train"]
        assert verify(tmp_path / "out", key) == manifest


def with_another_table(folder: Path, _: Callable[..., Path]) -> None:
    table = folder / "labels.csv"
    table.write_text(table.read_text().replace("north", "south"))


def with_another_link_beside_it(folder: Path, write_record: Callable[..., Path]) -> None:
    """The link comes in the same ingest that reads all anew."""
    link(folder)
    with_another_table(folder, write_record)


@pytest.mark.parametrize("change", [with_another_table, with_another_link_beside_it])
def test_a_table_that_says_something_else_moves_nobody_either(
    archive: Path, tmp_path: Path, write_record, ingest, key: Key, change: Callable[..., None]
) -> None:
    config = config_for(tmp_path)
    ingest(config, [archive], tmp_path / "out", key)
    if change is with_another_table:
        link(tmp_path)
        ingest(config, [archive], tmp_path / "out", key)
    change(tmp_path, write_record)
    ingest(config, [archive], tmp_path / "out", key)
    assert places(tmp_path / "out", key) == OUT


def test_a_file_that_was_cut_and_is_mended_comes_back_to_its_split_or_not_at_all(
    archive: Path, tmp_path: Path, ingest, key: Key
) -> None:
    config, out = config_for(tmp_path), tmp_path / "out"
    whole = {name: (archive / f"{name}.dat").read_bytes() for name in ("r0", "r1")}
    ingest(config, [archive], out, key)
    for name in whole:
        (archive / f"{name}.dat").write_bytes(b"cut")
    ingest(config, [archive], out, key)
    assert places(out, key) == {"r0": "truncated", "r1": "truncated", "r2": "test"}
    (archive / "r0.dat").write_bytes(whole["r0"])
    ingest(config, [archive], out, key)
    assert places(out, key) == {"r0": "train", "r1": "truncated", "r2": "test"}
    link(tmp_path)
    ingest(config, [archive], out, key)
    (archive / "r1.dat").write_bytes(whole["r1"])
    ingest(config, [archive], out, key)
    assert places(out, key) == OUT


@pytest.mark.parametrize("when", ["before", "with the link"])
def test_a_copy_of_what_was_in_train_does_not_test(archive: Path, tmp_path: Path, ingest, key: Key, when: str) -> None:
    config, out = config_for(tmp_path), tmp_path / "out"
    patients = dict(line.split(",")[:2] for line in (tmp_path / "labels.csv").read_text().splitlines()[1:])

    def copy() -> None:
        (archive / "copy.hea").write_text((archive / "r0.hea").read_text().replace("r0", "copy"))
        (archive / "copy.dat").write_bytes((archive / "r0.dat").read_bytes())
        write_table(tmp_path, {**patients, "copy": patients["r0"]})

    if when == "before":
        copy()
    ingest(config, [archive], out, key)
    if when == "with the link":
        copy()
    link(tmp_path)
    for retry_quarantine in (False, True):
        ingest(config, [archive], out, key, retry_quarantine=retry_quarantine)
        found = places(out, key)
        assert found.pop("copy" if found["r0"] != "duplicate" else "r0") in ("duplicate", ACROSS)
        assert set(found.values()) == {ACROSS, "test"}
        assert found["r2"] == "test"


def test_a_duplicate_follows_what_was_kept_instead_of_it(
    archive: Path, tmp_path: Path, write_record, ingest, key: Key
) -> None:
    """Nothing is called the same as another that is kept, where none is kept any more."""
    config, out = config_for(tmp_path), tmp_path / "out"
    patients = dict(line.split(",")[:2] for line in (tmp_path / "labels.csv").read_text().splitlines()[1:])
    write_record(archive, "copy", seed=0)
    write_table(tmp_path, {**patients, "copy": patients["r0"]})
    ingest(config, [archive], out, key)
    assert sorted(places(out, key).values()) == ["duplicate", "test", "train", "train"]
    link(tmp_path)
    manifest = ingest(config, [archive], out, key)
    assert manifest.counts.rejected == {ACROSS: 3}
    assert places(out, key) == {**OUT, "copy": ACROSS}
    quarantine = open_corpus(out).quarantine()
    assert quarantine["same_as"].null_count == 3
    assert {split_of(detail) for detail in quarantine["detail"].to_pylist()} == {"train"}
    assert verify(out, key) == manifest


def test_a_folder_of_another_name_makes_nobody_new(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    config, out = config_for(tmp_path), tmp_path / "out"
    ingest(config, [archive], out, key)
    link(tmp_path)
    ingest(config, [archive], out, key)
    moved = archive.rename(tmp_path / "moved")
    ingest(config, [moved], out, key)
    assert places(out, key, "moved") == {"r0": ACROSS, "r1": ACROSS, "r2": "duplicate"}


def test_a_site_that_was_put_right_and_back_brings_a_recording_back(
    archive: Path, tmp_path: Path, ingest, key: Key
) -> None:
    out = tmp_path / "out"
    config = config_for(tmp_path, split=SiteSplit(validation=(), test=("south",), not_yet=("south",)))
    patients = {"r0": "1", "r1": "2", "r2": "3"}
    write_table(tmp_path, patients)
    ingest(config, [archive], out, key)
    table = tmp_path / "labels.csv"
    table.write_text(table.read_text().replace("r0,1,north", "r0,1,south"))
    for _ in range(2):
        ingest(config, [archive], out, key, retry_quarantine=True)
        assert places(out, key) == {"r0": ACROSS, "r1": "train", "r2": "train"}
    write_table(tmp_path, patients)
    ingest(config, [archive], out, key)
    assert set(places(out, key).values()) == {"train"}


def test_what_was_refused_for_its_split_and_never_was_in_one_may_still_come(
    archive: Path, tmp_path: Path, ingest, key: Key
) -> None:
    out = tmp_path / "out"
    config = config_for(tmp_path, split=SiteSplit(validation=(), test=("south",)))
    table = tmp_path / "labels.csv"
    table.write_text("record,mrn,site\nr0,1,north\nr1,1,south\nr2,2,north\n")
    ingest(config, [archive], out, key)
    assert places(out, key) == {"r0": ACROSS, "r1": "test", "r2": "train"}
    table.write_text(table.read_text().replace("r0,1,north", "r0,1,south"))
    ingest(config, [archive], out, key)
    assert places(out, key) == {"r0": "test", "r1": "test", "r2": "train"}


def test_the_split_is_the_end_of_a_detail() -> None:
    for split in ("train", "validation", "test", UNSAID):
        told = with_split("the file ends early", split)
        assert told == f"the file ends early; it was in {split}"
        assert split_of(told) == split
        assert with_split(told, "test") == "the file ends early; it was in test"
    assert split_of(with_split("the file ends early", None)) is None
    assert split_of("its patient is linked to one of a stricter split") == UNSAID, "of a corpus from before"


def test_a_recording_is_known_by_name_bytes_and_what_was_kept_instead() -> None:
    gone = pa.Table.from_pylist([{"recording_id": "a", "content": "1", "split": "test"}])
    rows = [
        ("b", "2", "cut; it was in train", None),
        ("c", "3", "the same", "b"),
        ("d", CHANGED, "x; it was in test", None),
    ]
    names = ("recording_id", "content", "detail", "same_as")
    former = FormerSplits(gone, pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows]))
    asked = [("a", "9"), ("b", "9"), ("c", "9"), ("new", "1"), ("new", "2"), ("new", CHANGED), ("new", "9")]
    assert [former.of(*one) for one in asked] == ["test", "train", "train", "test", "train", None, None]
