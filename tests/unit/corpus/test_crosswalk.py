"""Random codes: the same person has the same one, nothing leads back without the file, and a kill makes no other."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from hemometric.corpus import IngestConfig, Key, load_or_create_key, open_corpus, verify
from hemometric.corpus.crosswalk import Crosswalk, KeyedNames, crosswalk_of
from hemometric.corpus.identity import Identity
from hemometric.corpus.tables import NoTable
from hemometric.errors import IntegrityError, PrivacyError, UsageError


@pytest.fixture
def own_key(tmp_path: Path) -> Key:
    path = tmp_path / "keys" / "pseudonym.key"
    path.parent.mkdir()
    path.write_text("fedcba9876543210" * 4)
    path.chmod(0o600)
    return load_or_create_key(path)


@pytest.fixture
def archive(tmp_path: Path, write_record) -> Path:
    """Six recordings of three ids, each a day after the one before."""
    for number in range(6):
        header = write_record(tmp_path / "archive", f"r{number}", seed=number)
        lines = header.read_text().splitlines()
        lines[0] += f" 10:30:00 {number + 1:02d}/03/2015"
        header.write_text("\n".join([*lines, f"# Patient ID: {number // 2}"]) + "\n")
    return tmp_path / "archive"


CONFIG = IngestConfig(table=NoTable(), pseudonyms="random", unit_recordings=2)


def test_codes_are_random_kept_and_lead_back(own_key: Key) -> None:
    names = pa.array([own_key.patient(str(number % 5)) for number in range(50)])
    walk = crosswalk_of(own_key)
    codes = walk.published(names)
    assert walk.published(names) == codes == Crosswalk(walk.path).published(names)
    assert walk.keyed(codes) == names
    assert len(set(codes.to_pylist())) == 5
    assert not set(codes.to_pylist()) & set(names.to_pylist())
    assert walk.path.stat().st_mode & 0o777 == 0o600
    assert KeyedNames().published(names) == KeyedNames().keyed(names) == names
    with pytest.raises(IntegrityError, match="lacks 1 codes"):
        walk.keyed(pa.array(["0" * 32]))


def test_what_others_can_read_or_write_is_refused(own_key: Key) -> None:
    walk = crosswalk_of(own_key)
    walk.published(pa.array(["a"]))
    walk.path.chmod(0o640)
    with pytest.raises(PrivacyError, match="chmod 600"):
        walk.published(pa.array(["a"]))
    walk.path.chmod(0o600)
    walk.path.write_bytes(b"no database" * 100)
    with pytest.raises(IntegrityError, match="damaged"):
        walk.published(pa.array(["a"]))
    with pytest.raises(UsageError, match="beside the key file"):
        crosswalk_of(Key(b"k" * 32))


def test_a_corpus_of_random_codes_holds_what_one_of_keyed_names_holds(
    archive: Path, tmp_path: Path, ingest, own_key: Key
) -> None:
    links = tmp_path / "links.csv"
    links.write_text("id,same_as\n0,1\n")
    random = CONFIG.model_copy(update={"identity": Identity(same=links)})
    keyed = random.model_copy(update={"pseudonyms": "keyed"})
    ingest(random, [archive], tmp_path / "random", own_key)
    ingest(keyed, [archive], tmp_path / "keyed", own_key)
    verify(tmp_path / "random")
    walk = crosswalk_of(own_key)
    shown = open_corpus(tmp_path / "random").table().combine_chunks()
    for name in ("recording_id", "patient"):
        shown = shown.set_column(shown.column_names.index(name), name, walk.keyed(shown[name].combine_chunks()))
    plain = open_corpus(tmp_path / "keyed").table().combine_chunks()
    columns = [name for name in plain.column_names if name != "partition"]
    assert sorted(map(str, shown.select(columns).to_pylist())) == sorted(map(str, plain.select(columns).to_pylist()))
    everything = b"".join(path.read_bytes() for path in (tmp_path / "random").rglob("*") if path.is_file())
    assert not [name for name in plain["patient"].to_pylist() if name.encode() in everything]


def test_it_grows_and_replaces_as_others_do(archive: Path, tmp_path: Path, write_record, ingest, own_key: Key) -> None:
    out = tmp_path / "out"
    first = ingest(CONFIG, [archive], out, own_key)
    assert ingest(CONFIG, [archive], out, own_key) == first
    before = {row["recording_id"]: row for row in open_corpus(out).table().to_pylist()}
    header = write_record(archive, "r6", seed=6)
    header.write_text(header.read_text() + "# Patient ID: 0\n")
    second = ingest(CONFIG, [archive], out, own_key)
    assert (second.counts.accepted, second.num_ingests) == (7, 2)
    verify(out)
    after = {row["recording_id"]: row for row in open_corpus(out).table().to_pylist()}
    assert {name: after[name] for name in before} == before
    (new,) = (row for name, row in after.items() if name not in before)
    assert sum(row["patient"] == new["patient"] for row in after.values()) == 3
    content = (archive / "r6.dat").read_bytes()
    (archive / "r6.dat").write_bytes(content[:-2] + b"\1\1")
    third = ingest(CONFIG.model_copy(update={"max_rejected_fraction": 1.0}), [archive], out, own_key)
    assert (third.counts.accepted, third.counts.rejected) == (6, {"checksum": 1})
    assert open_corpus(out).quarantine()["recording_id"].to_pylist() == [new["recording_id"]]


def test_one_patient_has_one_shift_also_under_another_name(archive: Path, tmp_path: Path, ingest, own_key: Key) -> None:
    links = tmp_path / "links.csv"
    links.write_text("id,same_as\n0,1\n")
    for number, pseudonyms in enumerate(("keyed", "random")):
        config = CONFIG.model_copy(update={"pseudonyms": pseudonyms, "identity": Identity(same=links)})
        out = tmp_path / f"out{number}"
        ingest(config, [archive], out, own_key)
        rows = open_corpus(out).table(columns=["patient", "acquired"]).to_pylist()
        times: dict[str, list[datetime]] = {}
        for row in rows:
            times.setdefault(row["patient"], []).append(row["acquired"])
        assert sorted(map(len, times.values())) == [2, 4]
        for of_one in times.values():
            steps = {later - sooner for sooner, later in zip(sorted(of_one), sorted(of_one)[1:], strict=False)}
            assert steps == {timedelta(days=1)}
            assert all((time.hour, time.minute) == (10, 30) and time.year < 2015 for time in of_one)


def test_without_its_file_a_corpus_of_random_codes_is_not_added_to(
    archive: Path, tmp_path: Path, ingest, own_key: Key
) -> None:
    ingest(CONFIG, [archive], tmp_path / "out", own_key)
    walk = crosswalk_of(own_key).path
    shutil.move(walk, tmp_path / "elsewhere")
    with pytest.raises(IntegrityError, match="lacks 6 codes of the corpus"):
        ingest(CONFIG, [archive], tmp_path / "out", own_key)
    with pytest.raises(UsageError, match="another config"):
        ingest(CONFIG.model_copy(update={"pseudonyms": "keyed"}), [archive], tmp_path / "out", own_key)


def test_a_manifest_names_the_file_of_codes(archive: Path, tmp_path: Path, ingest, own_key: Key) -> None:
    manifest = ingest(CONFIG, [archive], tmp_path / "random", own_key)
    assert manifest.crosswalk == crosswalk_of(own_key).id != ""
    keyed = CONFIG.model_copy(update={"pseudonyms": "keyed"})
    assert ingest(keyed, [archive], tmp_path / "keyed", own_key).crosswalk == ""
    assert verify(tmp_path / "random", own_key) == manifest, "nothing in it follows from the key"
