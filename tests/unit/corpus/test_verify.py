"""Verification finds what is planted, also where hashes were put right again."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemometric.corpus import Key, find_problems, open_corpus, verify
from hemometric.errors import IntegrityError, UsageError


def column_set(table: pa.Table, name: str, values: list[object]) -> pa.Table:
    field = table.schema.field(name)
    return table.set_column(table.column_names.index(name), field, pa.array(values, field.type))


def shard_table(corpus: Path, number: int) -> pa.Table:
    return pq.read_table(corpus / open_corpus(corpus).manifest.shards[number].path)


def test_a_whole_corpus_has_no_problems(whole_corpus: Path, key: Key) -> None:
    assert find_problems(open_corpus(whole_corpus)) == []
    assert verify(whole_corpus, key) == open_corpus(whole_corpus).manifest


@pytest.mark.parametrize("name", ["shards/train/part-00001.parquet", "quarantine.parquet"])
def test_flipped_missing_and_added_files_are_named(corpus_path: Path, name: str) -> None:
    path = corpus_path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=f"{path} is not the file that was written"):
        verify(corpus_path)
    path.unlink()
    with pytest.raises(IntegrityError, match=f"{path} is missing"):
        verify(corpus_path)
    shutil.copy(corpus_path / "shards/train/part-00000.parquet", path)
    shutil.copy(corpus_path / "shards/train/part-00000.parquet", corpus_path / "shards/train/extra.parquet")
    with pytest.raises(IntegrityError, match=r"extra\.parquet is not in the manifest.*1 more"):
        verify(corpus_path)
    with pytest.raises(UsageError):
        verify(corpus_path / "shards")


def test_a_patient_in_two_splits(corpus_path: Path, replace_shard) -> None:
    manifest = open_corpus(corpus_path).manifest
    tests = next(number for number, shard in enumerate(manifest.shards) if shard.split == "test")
    patient = shard_table(corpus_path, tests)["patient"][0].as_py()
    train = shard_table(corpus_path, 0)
    replace_shard(corpus_path, 0, column_set(train, "patient", [patient, *train["patient"].to_pylist()[1:]]))
    problems = find_problems(open_corpus(corpus_path))
    assert any("1 patients lie in more than one split" in problem for problem in problems)
    assert patient not in "".join(problems)


def test_rows_in_the_wrong_split_or_partition(corpus_path: Path, replace_shard, key: Key) -> None:
    train = shard_table(corpus_path, 0)
    replace_shard(corpus_path, 0, column_set(train, "split", ["test", *["train"] * (len(train) - 1)]))
    assert any("rows of another split than train" in problem for problem in find_problems(open_corpus(corpus_path)))
    partition = train["partition"].to_pylist()
    other = next(number for number in range(64) if number not in partition)
    replace_shard(corpus_path, 0, column_set(train, "partition", [other, *partition[1:]]))
    problems = find_problems(open_corpus(corpus_path), key)
    for sentence in ("rows of other partitions", "rows per partition", "1 patients lie in another partition"):
        assert any(sentence in problem for problem in problems), sentence


def test_a_recording_twice(corpus_path: Path, replace_shard) -> None:
    train = shard_table(corpus_path, 0)
    assert len(train) > 1
    ids = train["recording_id"].to_pylist()
    replace_shard(corpus_path, 0, column_set(train, "recording_id", [ids[1], *ids[1:]]))
    assert any("stands in it twice" in problem for problem in find_problems(open_corpus(corpus_path)))


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("found", 1, "found is not accepted plus rejected"),
        ("accepted", 1, "accepted says 1"),
        ("rejected", {"checksum": 1}, "rejections that are counted"),
        ("splits", None, "splits say"),
        ("patients", None, "split holds"),
    ],
)
def test_counts_that_do_not_add_up(
    corpus_path: Path, rewrite_manifest, field: str, value: object, sentence: str
) -> None:
    def change(content: dict) -> None:
        counts = content["counts"]
        if field == "splits":
            counts["splits"]["train"]["recordings"] += 1
        elif field == "patients":
            counts["splits"]["train"]["patients"] += 1
        else:
            counts[field] = value

    rewrite_manifest(corpus_path, change)
    with pytest.raises(IntegrityError):
        verify(corpus_path)
    assert any(sentence in problem for problem in find_problems(open_corpus(corpus_path)))


def test_another_key_is_said(whole_corpus: Path) -> None:
    with pytest.raises(IntegrityError, match="was made with key"):
        verify(whole_corpus, Key(b"another key that is long enough!"))
