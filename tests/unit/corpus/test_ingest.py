"""The steps of an ingest: counts that add up, the same bytes however it went, refusals in one sentence."""

import json
import os
import pickle
import resource
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hemometric import vendors
from hemometric.corpus import (
    ColumnsTable,
    FoldSplit,
    IngestConfig,
    Key,
    LabelSpec,
    commit,
    ingest_lock,
    ledger,
    open_corpus,
    plan_shards,
    prepare_ingest,
    stage_unit,
    stamps,
    verify,
    write_shard,
)
from hemometric.corpus.own_files import MARK
from hemometric.ecg import Recording
from hemometric.errors import DataRejectedError, IntegrityError, PrecheckError, UsageError
from hemometric.vendors.columnar_format import ColumnarConfig
from hemometric.vendors.formats_config import FormatsConfig
from hemometric.waveform import Assessed, QualityConfig, assess


@pytest.fixture
def archive(tmp_path: Path, write_record) -> Path:
    """Twelve records of four patients, with a table beside them."""
    lines = ["record,mrn,age,sex,fold,wedge"]
    for number in range(12):
        name = f"MRN-CANARY-{number:03d}"
        write_record(tmp_path / "archive" / f"{number % 2}", name, seed=number)
        lines.append(f"{number % 2}/{name},PATIENT-CANARY-{number // 3},{40 + number},F,{number // 3},{8 + 5 * number}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "archive"


def config_for(archive: Path, **fields: object) -> IngestConfig:
    table = ColumnsTable(
        path=archive.parent / "labels.csv", record="record", patient="mrn", age="age", sex="sex", fold="fold",
        labels={"mpcwp_mmhg": LabelSpec(column="wedge", unit="mmHg", low=0, high=60)},
    )  # fmt: skip
    return IngestConfig(**{"table": table, "unit_recordings": 4, **fields})  # type: ignore[arg-type]


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_bundled_records_go_in_and_come_out_bit_for_bit(bundled: Path, whole_corpus: Path, key: Key) -> None:
    corpus = open_corpus(whole_corpus)
    sources = list(vendors.find([bundled]))
    assert corpus.manifest.counts.found == len(sources) == len(list(bundled.rglob("*.hea")))
    counts = corpus.manifest.counts
    assert counts.found == counts.accepted + sum(counts.rejected.values())
    assert counts.unmatched == 0
    found = {row["recording_id"]: (row, recording) for row, recording in corpus.recordings()}
    assert len(found) == counts.accepted == 139
    refused = corpus.quarantine()["recording_id"].to_pylist()
    assert counts.rejected == {"duplicate": len(refused)} == {"duplicate": 8}, (
        "six are there at both rates, two under two names"
    )
    for source in sources:
        original = vendors.read(source)
        assert isinstance(original, Recording)
        assessed = assess(original, QualityConfig())
        assert isinstance(assessed, Assessed)
        if key.recording_id(source.key) in refused:
            continue
        row, recording = found[key.recording_id(source.key)]
        assert recording.counts.tobytes() == assessed.recording.counts.tobytes()
        assert recording.leads == assessed.recording.leads
        assert recording.rate_hz == assessed.recording.rate_hz
        assert np.array_equal(recording.gain_per_mv, assessed.recording.gain_per_mv)
        assert np.array_equal(recording.offset_counts, assessed.recording.offset_counts)
        assert np.array_equal(recording.signal, assessed.recording.signal, equal_nan=True)
        assert row["flags"] == sorted(assessed.flags)


def test_metadata_is_joined_by_name(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    lines = (archive.parent / "labels.csv").read_text().splitlines()
    (archive.parent / "labels.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    manifest = ingest(config_for(archive), [archive], tmp_path / "out", key)
    rows = {row["recording_id"]: row for row, _ in open_corpus(tmp_path / "out").recordings()}
    for number in range(12):
        row = rows[key.recording_id(f"archive/{number % 2}/MRN-CANARY-{number:03d}")]
        assert row["patient"] == key.patient(f"PATIENT-CANARY-{number // 3}")
        assert row["age_years"] == 40 + number
        assert row["sex"] == "female"
        assert row["fold"] == number // 3
        assert row["label.mpcwp_mmhg"] == (8 + 5 * number if number <= 10 else None)
    assert manifest.counts.nulled == {"label.mpcwp_mmhg": 1}
    assert manifest.counts.labels == {"mpcwp_mmhg": 11}
    assert sum(split.patients for split in manifest.counts.splits.values()) == 4


def test_rows_are_sorted_and_shards_hold_one_split_and_what_they_say(whole_corpus: Path) -> None:
    corpus = open_corpus(whole_corpus)
    assert len(corpus.manifest.shards) > 10
    last: dict[str, tuple[object, ...]] = {}
    for shard in corpus.manifest.shards:
        rows = pq.read_table(
            whole_corpus / shard.path, columns=["split", "partition", "patient", "recording_id"]
        ).to_pylist()
        order = [tuple(row.values()) for row in rows]
        assert order == sorted(order)
        assert {row["split"] for row in rows} == {shard.split}
        assert tuple(sorted({row["partition"] for row in rows})) == shard.partitions
        assert last.get(shard.split, ()) < order[0]
        last[shard.split] = order[-1]
    # Several shards share a partition only when they hold nothing else.
    for split in ("train", "validation", "test"):
        shards = [shard for shard in corpus.manifest.shards if shard.split == split]
        for shard in shards:
            shared = {p for other in shards if other is not shard for p in other.partitions} & set(shard.partitions)
            assert not shared or len(shard.partitions) == 1
    # … and a patient of several recordings lies in one shard.
    where = [
        (patient, shard.path)
        for shard in corpus.manifest.shards
        for patient in pq.read_table(whole_corpus / shard.path, columns=["patient"])["patient"].to_pylist()
    ]
    assert len(set(where)) == len({patient for patient, _ in where})


def test_same_bytes_for_any_order_of_work_and_any_size_of_units(
    bundled: Path, whole_corpus: Path, tmp_path: Path, small_steps: IngestConfig, ingest, key: Key
) -> None:
    ingest(small_steps, [bundled], tmp_path / "backwards", key, backwards=True)
    assert files_of(tmp_path / "backwards") == files_of(whole_corpus)
    other = small_steps.model_copy(update={"unit_recordings": 50})
    ingest(other, [bundled], tmp_path / "units", key)
    assert open_corpus(tmp_path / "units").manifest.shards == open_corpus(whole_corpus).manifest.shards


def test_a_moved_archive_gives_the_same_manifest(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    ingest(config_for(archive), [archive], tmp_path / "one", key)
    shutil.copytree(archive.parent / "archive", tmp_path / "elsewhere" / "archive")
    shutil.copy(archive.parent / "labels.csv", tmp_path / "elsewhere" / "labels.csv")
    moved = tmp_path / "elsewhere" / "archive"
    ingest(config_for(moved), [moved], tmp_path / "two", key)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_no_name_of_a_patient_record_or_folder_is_in_the_output(
    archive: Path, tmp_path: Path, ingest, key: Key
) -> None:
    (archive / "0" / "MRN-CANARY-bad.hea").write_text((archive / "0" / "MRN-CANARY-000.hea").read_text())
    ingest(config_for(archive, max_rejected_fraction=0.5), [archive], tmp_path / "out", key)
    corpus = open_corpus(tmp_path / "out")
    assert corpus.manifest.counts.rejected
    shown = [repr(row) for row, _ in corpus.recordings()] + [repr(corpus.quarantine().to_pylist())]
    everything = "".join(files_of(tmp_path / "out")).encode() + b"".join(files_of(tmp_path / "out").values())
    everything += "".join(shown).encode()
    for secret in ("CANARY", str(tmp_path), "archive/", key.secret.decode()):
        assert secret.encode() not in everything
        assert secret.encode("utf-16-le") not in everything


def test_rejections_are_counted_and_quarantined(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    (archive / "0" / "MRN-CANARY-000.dat").write_bytes(b"cut")
    lines = (archive.parent / "labels.csv").read_text().splitlines()
    del lines[2]
    (archive.parent / "labels.csv").write_text("\n".join(lines) + "\n")
    manifest = ingest(config_for(archive, max_rejected_fraction=0.5), [archive], tmp_path / "out", key)
    assert manifest.counts.found == 12
    assert manifest.counts.accepted == 10
    assert sum(manifest.counts.rejected.values()) == 2
    assert manifest.counts.rejected["missing_patient"] == 1
    assert manifest.counts.unmatched == 0, "that one is refused, since nobody else says whose it is"
    refused = open_corpus(tmp_path / "out").quarantine().to_pylist()
    rows = {row["recording_id"]: row["reason"] for row in refused}
    assert rows[key.recording_id("archive/1/MRN-CANARY-001")] == "missing_patient"
    (told,) = [row["detail"] for row in refused if row["reason"] == "missing_patient"]
    assert "ingest.patients: recording_is_patient" in told
    assert key.recording_id("archive/0/MRN-CANARY-000") in rows
    verify(tmp_path / "out", key)


def test_a_link_to_itself_is_one_record_refused(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    signal = archive / "0" / "MRN-CANARY-000.dat"
    kept = signal.read_bytes()
    signal.unlink()
    signal.symlink_to(signal.name)
    config = config_for(archive, max_rejected_fraction=0.5)
    assert ingest(config, [archive], tmp_path / "out", key).counts.rejected == {"unreadable": 1}
    assert ingest(config, [archive], tmp_path / "out", key).counts.accepted == 11, "the same again is a no-op"
    signal.unlink()
    signal.write_bytes(kept)
    mended = ingest(config, [archive], tmp_path / "out", key)
    assert (mended.counts.accepted, mended.counts.rejected) == (12, {}), "what can be read by now is read"


def test_a_corpus_in_its_source_is_no_source(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    """Even where tables are read as ECGs, as its shards are tables."""
    columnar = ColumnarConfig(rate="hz", unit="uV", signal="ecg", id="exam", patient="mrn")
    config = config_for(archive, formats=FormatsConfig(columnar=columnar))
    first = ingest(config, [archive], archive / "corpus", key)
    assert first.counts.accepted == 12
    assert ingest(config, [archive], archive / "corpus", key) == first, "nothing to do"


@pytest.mark.parametrize("absent", ["NA", "nan", "None", "<NA>", "\uff2e\uff21"])
def test_a_header_that_says_no_patient_makes_no_patient(
    archive: Path, tmp_path: Path, ingest, key: Key, absent: str
) -> None:
    for header in archive.rglob("*.hea"):
        name = f"P{header.stem}" if header.parent.name == "0" else absent
        header.write_text(header.read_text() + f"# Patient ID: {name}\n")
    counts = ingest(IngestConfig(max_rejected_fraction=0.5), [archive], tmp_path / "out", key).counts
    assert (counts.accepted, counts.rejected) == (6, {"missing_patient": 6})


def test_a_header_that_is_its_own_segment_is_counted(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    (archive / "turn.hea").write_text("turn/1 1 500 1200\nturn 1200\n")
    counts = ingest(config_for(archive, max_rejected_fraction=0.5), [archive], tmp_path / "out", key).counts
    assert (counts.found, counts.accepted, counts.rejected) == (13, 12, {"unsupported": 1})


def test_a_folder_of_a_source_that_cannot_be_listed_is_not_named(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    sources = list(vendors.find([archive]))
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UsageError, match="a folder of the sources cannot be listed: Permission denied; allow"):
        stamps.stamp_all(sources, vendors.VENDORS)


def test_too_many_rejections_write_nothing_and_a_higher_threshold_goes_on(
    archive: Path, tmp_path: Path, ingest, key: Key
) -> None:
    for path in sorted((archive / "0").glob("*.dat"))[:3]:
        path.write_bytes(b"cut")
    with pytest.raises(DataRejectedError, match=r"3 of 12 recordings were refused \(\w+ 3\).*0\.1") as caught:
        ingest(config_for(archive), [archive], tmp_path / "out", key)
    assert "CANARY" not in str(caught.value)
    assert set(files_of(tmp_path / "out")) == {
        name for name in files_of(tmp_path / "out") if name.startswith("staging/")
    } | {MARK}
    with ingest_lock(tmp_path / "out"):
        plan = prepare_ingest(config_for(archive, max_rejected_fraction=0.3), [archive], tmp_path / "out", key)
        assert all(stage_unit(plan.context, unit).resumed for unit in plan.units)
        planned = plan_shards(plan)
        commit(plan, planned, [write_shard(plan.context, shard) for shard in planned.shards])
    assert verify(tmp_path / "out").counts.accepted == 9


def test_nothing_accepted_is_refused_at_any_threshold(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    config = IngestConfig(max_rejected_fraction=1.0)
    with pytest.raises(DataRejectedError, match=r"12 of 12 .*missing_patient 12.*recording_is_patient"):
        ingest(config, [archive], tmp_path / "out", key)
    alone = config.model_copy(update={"patients": "recording_is_patient"})
    manifest = ingest(alone, [archive], tmp_path / "out", key)
    assert sum(split.patients for split in manifest.counts.splits.values()) == manifest.counts.accepted == 12


def test_the_same_command_twice_does_nothing_and_another_is_refused(
    archive: Path, tmp_path: Path, ingest, key: Key
) -> None:
    out = tmp_path / "out"
    first = ingest(config_for(archive), [archive], out, key)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.name != ".lock"}
    with ingest_lock(out):
        plan = prepare_ingest(config_for(archive), [archive], out, key)
    assert plan.finished == first
    assert plan.units == ()
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.name != ".lock"} == before
    assert ingest(config_for(archive, shard_bytes=1 << 20), [archive], out, key) == first, "sizes decide no content"
    others = [
        ("config", config_for(archive, quality=QualityConfig(min_rate_hz=91)), key),
        ("key", config_for(archive), Key(b"another key that is long enough!")),
    ]
    for what, config, other_key in others:
        with pytest.raises(UsageError, match=f"already holds a corpus that was made with another {what}"):
            ingest(config, [archive], out, other_key)


def test_a_finished_corpus_with_a_lost_shard_is_no_success(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    manifest = ingest(config_for(archive), [archive], tmp_path / "out", key)
    (tmp_path / "out" / manifest.shards[0].path).unlink()
    with pytest.raises(IntegrityError, match=r"part-00000\.parquet is missing"):
        ingest(config_for(archive), [archive], tmp_path / "out", key)


def changed(path: Path) -> None:
    """Change one byte, and no size."""
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def test_a_source_that_changed_without_its_size_takes_the_place_of_what_it_was(
    archive: Path, tmp_path: Path, ingest, key: Key
) -> None:
    out = tmp_path / "out"
    first = ingest(config_for(archive), [archive], out, key)
    before = pq.read_table(out / "shards").sort_by("recording_id").to_pylist()
    changed(archive / "0" / "MRN-CANARY-000.dat")  # its checksum no longer holds
    second = ingest(config_for(archive, max_rejected_fraction=1), [archive], out, key)
    assert (second.counts.accepted, second.counts.rejected, second.num_ingests) == (11, {"checksum": 1}, 2)
    assert ingest(config_for(archive), [archive], out, key) == second == verify(out, key)
    changed(archive / "0" / "MRN-CANARY-000.dat")  # back to what it was
    third = ingest(config_for(archive), [archive], out, key)
    assert third.counts == first.counts
    verify(out, key)
    assert pq.read_table(out / "shards").sort_by("recording_id").to_pylist() == before


def test_a_row_of_the_table_that_changed_is_a_recording_that_changed(
    archive: Path, tmp_path: Path, ingest, key: Key
) -> None:
    out = tmp_path / "out"
    ingest(config_for(archive), [archive], out, key)
    lines = (archive.parent / "labels.csv").read_text().splitlines()
    lines[3] = lines[3].replace(",18", ",19").replace(",F,", ",M,")
    (archive.parent / "labels.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    with ingest_lock(out):
        plan = prepare_ingest(config_for(archive), [archive], out, key)
    assert (plan.num_fresh, len(plan.ledger.replaced)) == (1, 1)
    manifest = ingest(config_for(archive), [archive], out, key)
    assert manifest == verify(out, key)
    assert manifest.counts.accepted == 12
    sexes = open_corpus(out).table(columns=["recording_id", "sex"]).to_pylist()
    assert [row["recording_id"] for row in sexes if row["sex"] == "male"] == list(plan.ledger.replaced)
    assert ingest(config_for(archive), [archive], out, key) == manifest


def test_new_sources_are_added_and_nobody_moves(archive: Path, tmp_path: Path, write_record, ingest, key: Key) -> None:
    """Recordings of known patients and of new ones, in three steps, and all at once."""
    out = tmp_path / "out"
    hidden = tmp_path / "hidden"
    shutil.move(archive / "1", hidden)
    (archive / "1").mkdir()
    shutil.move(hidden / "MRN-CANARY-001.hea", archive / "1")
    shutil.move(hidden / "MRN-CANARY-001.dat", archive / "1")
    columns = ["recording_id", "patient", "split", "partition", "label.mpcwp_mmhg"]
    seen: dict[str, dict] = {}
    for number in (1, 7, 11):
        for path in sorted(hidden.glob("*.*")):
            if int(path.stem[-3:]) <= number:
                shutil.move(path, archive / "1")
        manifest = ingest(config_for(archive), [archive], out, key)
        assert manifest == verify(out, key)
        rows = {row["recording_id"]: row for row in open_corpus(out).table(columns=columns).to_pylist()}
        assert {name: rows[name] for name in seen} == seen
        assert manifest.counts.accepted == len(rows) == 6 + (number + 1) // 2
        seen = rows
    assert manifest.num_ingests == 3
    once = ingest(config_for(archive), [archive], tmp_path / "once", key)
    assert once.counts == manifest.counts
    at_once = open_corpus(tmp_path / "once").table(columns=columns).to_pylist()
    assert {row["recording_id"]: row for row in at_once} == seen


def test_what_was_refused_is_tried_again_when_that_is_asked_for(
    archive: Path, tmp_path: Path, ingest, key: Key
) -> None:
    out = tmp_path / "out"
    lines = (archive.parent / "labels.csv").read_text().splitlines()
    (archive.parent / "labels.csv").write_text("\n".join(lines[:-1]) + "\n")  # nobody says whose the last one is
    first = ingest(config_for(archive), [archive], out, key)
    assert (first.counts.accepted, first.counts.rejected) == (11, {"missing_patient": 1})
    assert ingest(config_for(archive), [archive], out, key) == first
    with ingest_lock(out):
        again = prepare_ingest(config_for(archive), [archive], out, key, retry_quarantine=True)
    assert (again.num_fresh, len(again.ledger.released)) == (1, 1)
    (archive.parent / "labels.csv").write_text("\n".join(lines) + "\n")
    mended = ingest(config_for(archive), [archive], out, key)
    assert (mended.counts.accepted, mended.counts.rejected) == (12, {})
    verify(out, key)


def test_a_moved_or_touched_archive_is_read_once_and_nothing_is_done(
    archive: Path, tmp_path: Path, ingest, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = ingest(config_for(archive), [archive], out, key)
    before = files_of(out)
    shutil.copytree(archive.parent / "archive", tmp_path / "elsewhere" / "archive", copy_function=shutil.copyfile)
    shutil.copy(archive.parent / "labels.csv", tmp_path / "elsewhere" / "labels.csv")
    moved = tmp_path / "elsewhere" / "archive"
    for path in moved.rglob("*.dat"):
        os.utime(path, ns=(1, 10**18))
    assert ingest(config_for(moved), [moved], out, key) == first
    after = files_of(out)
    assert {name for name in after if after[name] != before.get(name)} == {".stamps"}
    verify(out, key)

    def unread(*_: object) -> str:
        raise AssertionError("sources are read again")

    monkeypatch.setattr(ledger, "contents_of", unread)
    assert ingest(config_for(moved), [moved], out, key) == first
    assert files_of(out) == after


@pytest.mark.parametrize("damage", ["gone", "{"])
def test_without_its_stamps_the_bytes_are_compared(
    archive: Path, tmp_path: Path, ingest, key: Key, damage: str
) -> None:
    out = tmp_path / "out"
    first = ingest(config_for(archive), [archive], out, key)
    before = files_of(out)
    (out / ".stamps").unlink() if damage == "gone" else (out / ".stamps").write_text(damage)
    assert ingest(config_for(archive), [archive], out, key) == first
    assert files_of(out) == before


def test_a_source_that_changes_between_two_tries_is_read_again(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    """Also where the first try was killed just before the marker."""
    out = tmp_path / "out"
    first = ingest(config_for(archive), [archive], out, key)
    (out / "_SUCCESS").unlink()
    changed(archive / "0" / "MRN-CANARY-000.dat")
    second = ingest(config_for(archive, max_rejected_fraction=0.5), [archive], tmp_path / "fresh", key)
    with pytest.raises(DataRejectedError):
        ingest(config_for(archive, max_rejected_fraction=0.0), [archive], out, key)
    again = ingest(config_for(archive, max_rejected_fraction=0.5), [archive], out, key)
    assert again == second
    assert again.counts != first.counts
    assert files_of(out) == files_of(tmp_path / "fresh")


def test_half_work_of_another_config_is_ignored_and_removed(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    out = tmp_path / "out"
    ingest(config_for(archive), [archive], tmp_path / "clean", key)
    other = config_for(archive, split=FoldSplit(train=(0, 1), validation=(2,), test=(3,)), shard_bytes=70_000)
    with ingest_lock(out):
        plan = prepare_ingest(other, [archive], out, key)
        for unit in plan.units:
            stage_unit(plan.context, unit)
        for shard in plan_shards(plan).shards:
            write_shard(plan.context, shard)
    (out / "staging" / f".unit-{'0' * 24}.arrow.1-0123abcd.tmp").write_bytes(b"half")
    ingest(config_for(archive), [archive], out, key)
    assert files_of(out) == files_of(tmp_path / "clean")


def test_damaged_staged_units_and_shards_are_made_again(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    out = tmp_path / "out"
    ingest(config_for(archive), [archive], tmp_path / "clean", key)
    with ingest_lock(out):
        plan = prepare_ingest(config_for(archive), [archive], out, key)
        for unit in plan.units:
            assert not stage_unit(plan.context, unit).resumed
        staged = sorted((out / "staging").glob("*.arrow"))
        staged[0].write_bytes(staged[0].read_bytes()[:-100])
        content = bytearray(staged[1].read_bytes())
        content[len(content) // 2] ^= 1
        staged[1].write_bytes(content)
        staged[2].with_suffix(".json").write_text("{")
        assert not any(stage_unit(plan.context, unit).resumed for unit in plan.units)
        assert all(stage_unit(plan.context, unit).resumed for unit in plan.units)
        planned = plan_shards(plan)
        for shard in planned.shards:
            write_shard(plan.context, shard)
        (out / planned.shards[0].path).write_bytes(b"damaged")
        commit(plan, planned, [write_shard(plan.context, shard) for shard in planned.shards])
    assert files_of(out) == files_of(tmp_path / "clean")


def test_a_unit_that_was_never_staged_is_said(archive: Path, tmp_path: Path, key: Key) -> None:
    with ingest_lock(tmp_path / "out"):
        plan = prepare_ingest(config_for(archive), [archive], tmp_path / "out", key)
        stage_unit(plan.context, plan.units[0])
        with pytest.raises(IntegrityError, match="missing or damaged; run the same"):
            plan_shards(plan)


def test_commit_refuses_shards_that_do_not_add_up(archive: Path, tmp_path: Path, key: Key) -> None:
    with ingest_lock(tmp_path / "out"):
        plan = prepare_ingest(config_for(archive), [archive], tmp_path / "out", key)
        for unit in plan.units:
            stage_unit(plan.context, unit)
        planned = plan_shards(plan)
        entries = [write_shard(plan.context, shard) for shard in planned.shards]
        with pytest.raises(IntegrityError, match="does not add up"):
            commit(plan, planned, entries[1:])
    assert not (tmp_path / "out" / "_SUCCESS").exists()


def test_steps_take_arguments_that_travel(archive: Path, tmp_path: Path, key: Key) -> None:
    with ingest_lock(tmp_path / "out"):
        plan = pickle.loads(pickle.dumps(prepare_ingest(config_for(archive), [archive], tmp_path / "out", key)))
        for unit in plan.units:
            stage_unit(plan.context, unit)
        planned = pickle.loads(pickle.dumps(plan_shards(plan)))
        entries = [write_shard(plan.context, shard) for shard in planned.shards]
        assert pickle.loads(pickle.dumps(commit(plan, planned, entries))).counts.accepted == 12


def test_folds_decide_the_split_and_a_patient_in_two_is_refused(
    archive: Path, tmp_path: Path, ingest, key: Key
) -> None:
    folds = FoldSplit(train=(0, 1), validation=(2,), test=(3,))
    manifest = ingest(config_for(archive, split=folds), [archive], tmp_path / "out", key)
    assert {name: split.patients for name, split in manifest.counts.splits.items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
    }
    table = archive.parent / "labels.csv"
    lines = table.read_text().splitlines()
    lines[1] = lines[1].replace("F,0,", "F,3,")
    table.write_text("\n".join(lines) + "\n")
    with pytest.raises(IntegrityError, match="put 1 patients into more than one split"):
        ingest(config_for(archive, split=folds), [archive], tmp_path / "other", key)
    table.write_text(table.read_text().replace("F,2,", "F,7,"))
    lenient = config_for(archive, split=FoldSplit(train=(0, 1, 3), validation=(2,), test=()), max_rejected_fraction=0.5)
    assert ingest(lenient, [archive], tmp_path / "third", key).counts.rejected == {"no_split": 3}
    with pytest.raises(UsageError, match="table with folds"):
        ingest(IngestConfig(split=folds), [archive], tmp_path / "fourth", key)


def test_two_writers_cannot_share_a_folder(tmp_path: Path) -> None:
    with (
        ingest_lock(tmp_path / "out"),
        pytest.raises(PrecheckError, match="another ingest"),
        ingest_lock(tmp_path / "out"),
    ):
        pass
    with ingest_lock(tmp_path / "out"):
        pass


def test_places_that_cannot_hold_a_corpus(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="a file has that name"):
        ingest(config_for(archive), [archive], tmp_path / "file", key)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").write_text("")
    with pytest.raises(UsageError, match=r"holds other things \(thesis\.doc\)"):
        ingest(config_for(archive), [archive], tmp_path / "full", key)


@pytest.mark.parametrize(
    ("place", "name", "sentence"),
    [
        (os, "open", "out cannot be written"),
        (Path, "iterdir", "out cannot be listed"),
        (Path, "mkdir", "out cannot be"),
    ],
)
def test_a_place_that_is_refused_is_named(
    archive: Path, tmp_path: Path, ingest, key: Key, monkeypatch: pytest.MonkeyPatch, place: object, name: str,
    sentence: str,
) -> None:  # fmt: skip
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    if name != "mkdir":
        (tmp_path / "out").mkdir()
    monkeypatch.setattr(place, name, refuse)
    with pytest.raises(UsageError, match=f"folder {tmp_path}/{sentence}.*: Permission denied"):
        ingest(config_for(archive), [archive], tmp_path / "out", key)
    monkeypatch.undo()


def test_sources_that_are_not_there(tmp_path: Path, ingest, key: Key) -> None:
    (tmp_path / "empty").mkdir()
    for roots in ([tmp_path / "nowhere"], [tmp_path / "empty"], []):
        with pytest.raises(UsageError) as caught:
            ingest(IngestConfig(), roots, tmp_path / "out", key)
        assert "\n" not in str(caught.value)


def test_a_disk_too_small_is_refused_before_anything_is_staged(
    archive: Path, tmp_path: Path, ingest, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(PrecheckError, match="this ingest needs"):
        ingest(config_for(archive), [archive], tmp_path / "out", key)


def test_a_disk_that_fills_up_leaves_no_half_file_and_the_ingest_goes_on(
    archive: Path, tmp_path: Path, ingest, key: Key
) -> None:
    ingest(config_for(archive), [archive], tmp_path / "clean", key)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(PrecheckError, match="no room left"):
            ingest(config_for(archive), [archive], tmp_path / "out", key)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "out").rglob("*.tmp"))
    ingest(config_for(archive), [archive], tmp_path / "out", key)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "clean")


def test_the_manifest_says_what_it_must(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    ingest(config_for(archive), [archive], tmp_path / "out", key)
    content = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert content["table"]["files"] == ["labels.csv"]
    assert content["labels"] == [{"name": "mpcwp_mmhg", "kind": "number", "unit": "mmHg", "low": 0.0, "high": 60.0}]
    assert content["partitions"]["num"] == len(content["partitions"]["rows"]) == 64
    assert sum(content["partitions"]["rows"]) == 12
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        MARK, ".lock", ".settings", ".stamps", "_SUCCESS", "links.parquet", "manifest.json", "quarantine.parquet",
        "shards",
    ]  # fmt: skip


def test_what_is_refused_again_does_not_end_an_ingest(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    out = tmp_path / "out"
    for number in (0, 2):
        (archive / "0" / f"MRN-CANARY-{number:03d}.dat").write_bytes(b"cut")
    config = config_for(archive, max_rejected_fraction=0.2)
    first = ingest(config, [archive], out, key)
    with ingest_lock(out):
        plan = prepare_ingest(config_for(archive, max_rejected_fraction=0), [archive], out, key, retry_quarantine=True)
        assert plan.num_fresh == 2
        for unit in plan.units:
            stage_unit(plan.context, unit)
        again = commit(plan, plan_shards(plan), [])
    assert again.counts == first.counts
    (archive / "0" / "MRN-CANARY-004.dat").write_bytes(b"cut")
    strict = config_for(archive, max_rejected_fraction=0.08)
    told = r"1 of 1 recordings were refused .* is 0\.08 of the 12 that the corpus would know: nothing was added"
    with pytest.raises(DataRejectedError, match=told):
        ingest(strict, [archive], out, key)
    assert open_corpus(out).manifest == again


def test_a_bad_file_among_few_new_ones_does_not_keep_the_others_out(
    archive: Path, tmp_path: Path, write_record, ingest, key: Key
) -> None:
    out = tmp_path / "out"
    config = config_for(archive, max_rejected_fraction=0.1, patients="recording_is_patient")
    ingest(config, [archive], out, key)
    write_record(archive, "new-0", seed=50)
    write_record(archive, "new-1", seed=51).with_suffix(".dat").write_bytes(b"cut")
    manifest = ingest(config, [archive], out, key)
    assert (manifest.counts.accepted, manifest.counts.rejected) == (13, {"truncated": 1})
    write_record(archive, "new-2", seed=52).with_suffix(".dat").write_bytes(b"cut")
    write_record(archive, "new-3", seed=53).with_suffix(".dat").write_bytes(b"cut")
    with pytest.raises(DataRejectedError, match=r"2 of 2 .* is 0\.1 of the 16 that"):
        ingest(config, [archive], out, key)


@pytest.mark.parametrize("steps", [1, 2])
def test_the_same_ecg_under_another_name_is_left_out_and_its_patients_are_one(
    archive: Path, tmp_path: Path, write_record, ingest, key: Key, steps: int
) -> None:
    """Whether the other one comes with the first ingest or finds it in the corpus; ids and shards larger than a row."""
    out = tmp_path / "out"
    config = IngestConfig(
        table={"kind": "none"}, patients="recording_is_patient", unit_recordings=4, shard_bytes=1 << 16
    )
    if steps == 2:
        ingest(config, [archive], out, key)
    twin = write_record(archive / "twin", "TWIN-CANARY", seed=5)
    text = twin.read_text().replace("1000(0)/mV", "2000(0)/mV")
    counts = np.frombuffer(twin.with_suffix(".dat").read_bytes(), "<i2") * 2  # the same millivolts at twice the gain
    sums = counts.reshape(-1, 12).astype(np.int64).sum(axis=0)
    lines = text.splitlines()
    for lead, total in enumerate(sums.tolist(), start=1):
        words = lines[lead].split()
        words[5], words[6] = str(counts[lead - 1]), str((total + 32768) % 65536 - 32768)
        lines[lead] = " ".join(words)
    twin.write_text("\n".join(lines) + "\n")
    twin.with_suffix(".dat").write_bytes(counts.tobytes())
    manifest = ingest(config, [archive], out, key)
    assert manifest == verify(out, key)
    assert (manifest.counts.accepted, manifest.counts.rejected) == (12, {"duplicate": 1})
    twins = {key.recording_id("archive/1/MRN-CANARY-005"), key.recording_id("archive/twin/TWIN-CANARY")}
    (left_out,) = open_corpus(out).quarantine()["recording_id"].to_pylist()
    assert left_out in twins
    assert steps == 1 or left_out == key.recording_id("archive/twin/TWIN-CANARY"), "what is there stays"
    (link,) = open_corpus(out).links().to_pylist()
    names = {key.patient_of("archive/1/MRN-CANARY-005"), key.patient_of("archive/twin/TWIN-CANARY")}
    assert set(link.values()) == names
    assert ingest(config, [archive], out, key) == manifest
    plain = config.model_copy(update={"find_duplicates": False})
    assert ingest(plain, [archive], tmp_path / "plain", key).counts.accepted == 13


def test_a_duplicate_takes_the_place_of_what_was_kept_when_that_is_gone(
    archive: Path, tmp_path: Path, ingest, key: Key
) -> None:
    out = tmp_path / "out"
    config = IngestConfig(table={"kind": "none"}, patients="recording_is_patient", max_rejected_fraction=1)
    for suffix in (".hea", ".dat"):
        content = (archive / "0" / f"MRN-CANARY-000{suffix}").read_bytes()
        (archive / "0" / f"copy{suffix}").write_bytes(content.replace(b"MRN-CANARY-000", b"copy"))
    ingest(config, [archive], out, key)
    (row,) = open_corpus(out).quarantine().to_pylist()
    twins = {key.recording_id(f"archive/0/{name}"): name for name in ("copy", "MRN-CANARY-000")}
    assert {row["recording_id"], row["same_as"]} == set(twins)
    (archive / "0" / f"{twins[row['same_as']]}.dat").write_bytes(b"")
    second = ingest(config, [archive], out, key)
    assert second == verify(out, key)
    assert (second.counts.accepted, second.counts.rejected) == (12, {"truncated": 1})
    assert row["recording_id"] in open_corpus(out).table()["recording_id"].to_pylist()


def test_what_is_out_of_reach_leaves_no_corpus(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    """A drive that is half there: the headers stand, the signals do not."""
    out = tmp_path / "out"
    config = config_for(archive, max_rejected_fraction=1)
    first = ingest(config, [archive], out, key)
    away = tmp_path / "away"
    away.mkdir()
    for path in archive.rglob("*.dat"):
        path.rename(away / path.name)
    with ingest_lock(out):
        plan = prepare_ingest(config, [archive], out, key)
        for unit in plan.units:
            stage_unit(plan.context, unit)
        planned = plan_shards(plan)
        assert (plan.num_fresh, planned.num_kept_back) == (12, 12)
        assert commit(plan, planned, []).counts == first.counts
    verify(out, key)
    for path in away.iterdir():
        path.rename(next(archive.rglob(f"{path.stem}.hea")).with_suffix(".dat"))
    again = ingest(config, [archive], out, key)
    assert again.counts == first.counts
    assert ingest(config, [archive], out, key) == again
