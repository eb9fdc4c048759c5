"""Reading: what was written, a row group at a time; and what is damaged ends in an error that names the file."""

import hashlib
import importlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemometric.corpus import Corpus, open_corpus, reader, verify
from hemometric.corpus.schema import LINKS_SCHEMA, QUARANTINE_SCHEMA
from hemometric.errors import IntegrityError, UsageError


def test_opens_with_the_hash_of_its_manifest(whole_corpus: Path) -> None:
    corpus = open_corpus(whole_corpus)
    assert corpus.hash == hashlib.sha256((whole_corpus / "manifest.json").read_bytes()).hexdigest()
    assert corpus.path == whole_corpus


def test_a_corpus_is_opened_by_text_too_and_by_nothing_that_is_no_path(whole_corpus: Path) -> None:
    assert open_corpus(str(whole_corpus)).path == whole_corpus
    for given in (None, 3, open_corpus(whole_corpus)):
        told = f"^a corpus is given by its path, a str or a Path; this is of type {type(given).__name__}$"
        with pytest.raises(TypeError, match=told):
            open_corpus(given)  # type: ignore[arg-type]


def test_the_python_of_the_readme_reads_a_corpus(corpus_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    code = text.partition("A corpus, without Ray and torch:")[2].partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(corpus_path.parent)
    found: dict[str, Any] = {}
    exec(code, found)
    assert len(found["train"]) == open_corpus(corpus_path).manifest.counts.splits["train"].recordings > 0
    assert found["signal"].shape == (12, 2500)


def test_table_and_recordings_agree_split_by_split(whole_corpus: Path) -> None:
    corpus = open_corpus(whole_corpus)
    everything = corpus.table()
    assert "signal" not in everything.column_names
    assert everything.num_rows == corpus.manifest.counts.accepted
    for split, counts in corpus.manifest.counts.splits.items():
        rows = [row for row, _ in corpus.recordings([split])]
        assert rows == corpus.table([split]).to_pylist()
        assert len(rows) == counts.recordings
        assert {row["split"] for row in rows} == {split}
    assert corpus.table(["train"], ["label.superclasses"]).column_names == ["label.superclasses"]


def test_one_recording_by_its_id(whole_corpus: Path) -> None:
    corpus = open_corpus(whole_corpus)
    row, expected = list(corpus.recordings())[-3]
    found = corpus.recording(row["recording_id"])
    assert found.key == expected.key == row["recording_id"]
    assert found.patient_id == row["patient"]
    assert np.array_equal(found.signal, expected.signal)
    with pytest.raises(UsageError, match="no recording 'nobody'"):
        corpus.recording("nobody")


def test_unknown_splits_and_columns_are_proposed(whole_corpus: Path) -> None:
    corpus = open_corpus(whole_corpus)
    with pytest.raises(UsageError, match="did you mean 'validation'"):
        corpus.table(["validations"])
    with pytest.raises(UsageError, match="did you mean 'age_years'"):
        corpus.table(columns=["age_year"])
    with pytest.raises(UsageError, match="no column 'signal'"):
        corpus.table(columns=["signal"])
    with pytest.raises(UsageError):
        next(corpus.recordings(["tset"]))


def test_one_row_group_in_memory_at_a_time(whole_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = open_corpus(whole_corpus)
    path = whole_corpus / corpus.manifest.shards[0].path
    assert pq.ParquetFile(path).metadata.row_group(0).num_rows <= 256
    monkeypatch.setattr(pq.ParquetFile, "read", None)  # a whole shard at once would need it
    assert sum(1 for _ in corpus.recordings()) == corpus.manifest.counts.accepted


def test_places_without_a_corpus(tmp_path: Path, corpus_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for place, sentence in (("nowhere", "does not exist"), ("empty", "holds no corpus"), ("file", "is a file")):
        with pytest.raises(UsageError, match=sentence) as caught:
            open_corpus(tmp_path / place)
        assert "\n" not in str(caught.value)
    (corpus_path / "_SUCCESS").unlink()
    with pytest.raises(UsageError, match="is not finished"):
        open_corpus(corpus_path)


def test_another_schema_version_is_a_question_of_usage(corpus_path: Path, rewrite_manifest) -> None:
    rewrite_manifest(corpus_path, lambda content: content.update(schema_version=99))
    with pytest.raises(UsageError, match="has schema version 99 and this hemometric reads 2"):
        open_corpus(corpus_path)


@pytest.mark.parametrize(
    "path",
    [
        "shards/../../x.parquet",
        "/etc/x.parquet",
        "../part-00000.parquet",
        "shards/train/../part-00000.parquet",
        "shards/other/part-00000.parquet",
        "shards/train/part-00000.parquet\n",
        "shards//train/part-00000.parquet",
        "quarantine.parquet",
        "",
    ],
)
def test_a_manifest_names_no_file_outside_of_its_corpus(corpus_path: Path, rewrite_manifest, path: str) -> None:
    rewrite_manifest(corpus_path, lambda content: content["shards"][0].update(path=path))
    with pytest.raises(IntegrityError, match=r"manifest\.json: field shards\.0\.path is not what") as caught:
        open_corpus(corpus_path)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4


def test_the_quarantine_table_has_its_name(corpus_path: Path, rewrite_manifest) -> None:
    rewrite_manifest(corpus_path, lambda content: content["quarantine"].update(path="../quarantine.parquet"))
    with pytest.raises(IntegrityError, match=r"manifest\.json: field quarantine\.path is not what"):
        open_corpus(corpus_path)


@pytest.mark.parametrize(
    "text", ["[]", "{}", "", '{"schema_version": 2}', "[" * 100_000, '{"schema_version": 2, "x": 2}']
)
def test_a_manifest_that_is_none(corpus_path: Path, text: str) -> None:
    (corpus_path / "manifest.json").write_text(text)
    (corpus_path / "_SUCCESS").write_text(hashlib.sha256(text.encode()).hexdigest())
    with pytest.raises(IntegrityError, match=r"manifest\.json"):
        open_corpus(corpus_path)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_flipped_byte_in_the_manifest(corpus_path: Path, share: float) -> None:
    path = corpus_path / "manifest.json"
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 4
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"manifest\.json is not the file that was written"):
        open_corpus(corpus_path)
    path.unlink()
    with pytest.raises(IntegrityError, match=r"manifest\.json is missing"):
        open_corpus(corpus_path)


def test_a_flipped_byte_in_a_shard_never_gives_another_signal(corpus_path: Path) -> None:
    corpus = open_corpus(corpus_path)
    shard = corpus.manifest.shards[0]
    one = Corpus(corpus_path, corpus.manifest.model_copy(update={"shards": (shard,)}), corpus.hash)
    expected = [(row, recording.counts.tobytes()) for row, recording in one.recordings()]
    path = corpus_path / shard.path
    original = path.read_bytes()
    refused = 0
    places = np.random.default_rng(0).integers(0, len(original), 120).tolist()
    for place in [0, 4, len(original) - 1, len(original) - 300, *places]:
        damaged = bytearray(original)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        try:
            found = [(row, recording.counts.tobytes()) for row, recording in one.recordings()]
        except IntegrityError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert found == expected
    assert refused > 115


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_shard_cut_short(corpus_path: Path, share: float, rewrite_manifest) -> None:
    path = corpus_path / open_corpus(corpus_path).manifest.shards[0].path
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(IntegrityError, match=r"part-00000\.parquet has \d+ bytes"):
        list(open_corpus(corpus_path).recordings())
    rewrite_manifest(corpus_path, lambda content: content["shards"][0].update(num_bytes=path.stat().st_size))
    with pytest.raises(IntegrityError, match=r"part-00000\.parquet is damaged"):
        list(open_corpus(corpus_path).recordings())


def test_a_file_that_may_not_be_read_is_not_called_damaged(corpus_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    corpus = open_corpus(corpus_path)
    shard = corpus_path / corpus.manifest.shards[0].path
    sentence = f"^{shard} cannot be read: Permission denied; allow reading it and run again$"
    for place, name in ((reader.pq, "ParquetFile"), (Path, "is_file")):
        with monkeypatch.context() as patched, pytest.raises(UsageError, match=sentence):
            patched.setattr(place, name, refused)
            corpus.table(["train"])
    with monkeypatch.context() as patched, pytest.raises(UsageError, match=sentence):
        patched.setattr(importlib.import_module("hemometric.corpus.verify"), "sha256_of", refused)
        verify(corpus_path)
    with monkeypatch.context() as patched, pytest.raises(UsageError, match=f"^{corpus_path} cannot be read: Perm"):
        patched.setattr(Path, "read_bytes", refused)
        open_corpus(corpus_path)


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        (("counts", "splits"), {}, "counts.splits"),
        (("counts", "splits", "test"), None, "counts.splits.test"),
        (("partitions", "num"), 10**12, "partitions.num"),
        (("partitions", "num"), 0, "partitions.num"),
        (("partitions", "rows"), [], "partitions.rows"),
        (("shards", 0, "partitions"), [64], "shards.0.partitions.0"),
        (("shards", 0, "partitions"), [-1], "shards.0.partitions.0"),
    ],
)
def test_a_sealed_manifest_with_numbers_that_no_ingest_writes(
    corpus_path: Path, rewrite_manifest, place: tuple[str | int, ...], value: object, field: str
) -> None:
    def change(content: Any) -> None:
        for name in place[:-1]:
            content = content[name]
        content[place[-1]] = value

    rewrite_manifest(corpus_path, change)
    with pytest.raises(IntegrityError, match=rf"manifest\.json: field {field} is not what a manifest holds"):
        open_corpus(corpus_path)


def test_a_missing_shard_matters_only_to_its_split(corpus_path: Path) -> None:
    shutil.rmtree(corpus_path / "shards" / "test")
    corpus = open_corpus(corpus_path)
    assert sum(1 for _ in corpus.recordings(["train", "validation"])) > 0
    assert corpus.table(["train"]).num_rows > 0
    with pytest.raises(IntegrityError, match=r"test/part-00000\.parquet is missing"):
        corpus.table()


def test_extension_types_are_refused_before_they_are_read(corpus_path: Path, replace_shard) -> None:
    shard = open_corpus(corpus_path).manifest.shards[0]
    table = pq.read_table(corpus_path / shard.path)
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((len(table), 2)))
    for other in (
        table.append_column("extra", tensors),
        table.set_column(table.column_names.index("age_years"), "age_years", tensors),
        table.append_column("extra", pa.StructArray.from_arrays([tensors], ["inner"])),
    ):
        path = replace_shard(corpus_path, 0, other)
        for read in (lambda c: list(c.recordings()), lambda c: c.table()):
            with pytest.raises(IntegrityError, match="extension type") as caught:
                read(open_corpus(corpus_path))
            assert str(path) in str(caught.value)


def test_columns_that_the_manifest_does_not_promise(corpus_path: Path, replace_shard) -> None:
    shard = open_corpus(corpus_path).manifest.shards[0]
    table = pq.read_table(corpus_path / shard.path)
    cases = [
        (table.append_column("name", pa.array(["x"] * len(table))), "has the unexpected name"),
        (table.drop_columns(["sex"]), "lacks sex"),
        (table.select(table.column_names[::-1]), "types or order differ"),
    ]
    for other, sentence in cases:
        replace_shard(corpus_path, 0, other)
        with pytest.raises(IntegrityError, match=sentence):
            list(open_corpus(corpus_path).recordings())


def test_a_signal_of_another_length_than_its_row_says(corpus_path: Path, replace_shard) -> None:
    shard = open_corpus(corpus_path).manifest.shards[0]
    table = pq.read_table(corpus_path / shard.path)
    position = table.column_names.index("num_samples")
    longer = pa.array([n + 1 for n in table["num_samples"].to_pylist()], pa.int32())
    replace_shard(corpus_path, 0, table.set_column(position, table.schema.field("num_samples"), longer))
    with pytest.raises(IntegrityError, match="does not hold 12 x"):
        list(open_corpus(corpus_path).recordings())


BAD_TEXT = pa.array([b"\xff\xfe"]).view(pa.string())


@pytest.mark.parametrize("name", ["links", "quarantine"])
def test_text_that_is_not_utf_8_is_damage(corpus_path: Path, rewrite_manifest, name: str) -> None:
    path = corpus_path / getattr(open_corpus(corpus_path).manifest, name).path
    schema = {"links": LINKS_SCHEMA, "quarantine": QUARANTINE_SCHEMA}[name]
    pq.write_table(pa.table([BAD_TEXT] * len(schema), schema=schema), path)

    def change(content: dict[str, Any]) -> None:
        content[name] |= {"num_bytes": path.stat().st_size, "num_rows": 1}

    rewrite_manifest(corpus_path, change)
    with pytest.raises(IntegrityError, match="is damaged"):
        getattr(open_corpus(corpus_path), name)()


def test_text_of_a_shard_that_is_not_utf_8_is_damage(corpus_path: Path, replace_shard) -> None:
    table = pq.read_table(corpus_path / open_corpus(corpus_path).manifest.shards[0].path)
    place = table.column_names.index("site")
    sites = pa.concat_arrays([BAD_TEXT, pa.array(table["site"].to_pylist()[1:], pa.string())])
    replace_shard(corpus_path, 0, table.set_column(place, table.schema.field("site"), sites))
    for read in (lambda corpus: corpus.table(columns=["site"]), lambda corpus: list(corpus.recordings())):
        with pytest.raises(IntegrityError, match="is damaged"):
            read(open_corpus(corpus_path))
