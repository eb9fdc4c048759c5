"""Without any words: a corpus holds what a corpus holds, and what is beyond is found."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemometric.corpus import open_corpus
from hemometric.corpus.own_files import MARK
from hemometric.errors import PrivacyError, UsageError
from hemometric.runs.folder import IDENTITY
from hemometric.runs.privacy.corpus_check import check_corpora, check_corpus


@pytest.fixture
def corpus(line: Any, tmp_path: Path) -> Path:
    shutil.copytree(line.labelled, tmp_path / "corpus")
    return tmp_path / "corpus"


def rewritten(corpus: Path, change: Any) -> None:
    """Change the first shard, with size and hash put right, as whoever made the file may have it."""
    manifest = json.loads((corpus / "manifest.json").read_text())
    entry = manifest["shards"][0]
    path = corpus / entry["path"]
    pq.write_table(change(pq.read_table(path, partitioning=None)), path)
    entry |= {"num_bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    text = json.dumps(manifest).encode()
    (corpus / "manifest.json").write_bytes(text)
    (corpus / "_SUCCESS").write_text(hashlib.sha256(text).hexdigest())


def with_values(name: str, value: Any) -> Any:
    def change(table: pa.Table) -> pa.Table:
        place = table.column_names.index(name)
        values = [value, *table[name].to_pylist()[1:]]
        return table.set_column(place, table.schema.field(name), pa.array(values, table.schema.field(name).type))

    return change


def test_corpora_of_ours_hold_nothing_else(line: Any) -> None:
    lines: list[str] = []
    check_corpora([line.labelled, line.real], lines.append)
    assert "site (" in lines[1], "free text is named, for a person to look at"
    assert "not told" in lines[-2]
    assert lines[-1] == "nothing stands there that must not"
    with pytest.raises(UsageError, match="holds no corpus"):
        check_corpora([line.cohort], lines.append)


def test_the_marks_of_an_ingest_and_of_a_merge_are_ours(corpus: Path) -> None:
    (corpus / MARK).touch()
    (corpus / IDENTITY).write_text("0123456789abcdef\n")
    assert check_corpus(corpus)[1] == []
    (corpus / ".mine").touch()
    assert "holds 1 file not named in its manifest" in check_corpus(corpus)[1][0]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("recording_id", "ward3/Zbigniewska", "recording_id is no pseudonym in 1 value"),
        ("patient", "MRN8675309", "patient is no pseudonym in 1 value"),
        ("content", "x" * 32, "content is no hash"),
        ("facts", "", "facts is no hash"),
        ("leads", ["I", "Zbigniewska"], "leads is no standard lead in 1 value"),
        ("flags", ["large_amplitude:Zbigniewska"], "flags is no code in 1 value"),
        ("flags", ["Seen by Dr Z"], "flags is no code in 1 value"),
        ("source_format", "Zbigniewska", "source_format is no format"),
        ("sex", "Zbigniewska", "sex is no sex"),
        ("age_years", 97.0, "age_years is above the cap"),
        ("acquired", dt.datetime.now() - dt.timedelta(days=100), "acquired is too late to have been shifted"),
    ],
)
def test_a_value_that_must_not_be(corpus: Path, name: str, value: Any, told: str) -> None:
    rewritten(corpus, with_values(name, value))
    _, problems = check_corpus(corpus)
    assert len(problems) == 1
    assert told in problems[0]
    assert "Zbigniewska" not in problems[0]
    said: list[str] = []
    with pytest.raises(PrivacyError, match="1 finding of"):
        check_corpora([corpus], said.append)
    assert problems[0] in said


@pytest.mark.parametrize(
    ("name", "value"),
    [("flags", ["clipped", "derived_lead:III", "large_amplitude:V3"]), ("sex", None), ("age_years", None)],
)
def test_a_value_that_a_sound_corpus_has(corpus: Path, name: str, value: Any) -> None:
    rewritten(corpus, with_values(name, value))
    assert check_corpus(corpus)[1] == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda table: table.append_column("Zbigniewska", pa.nulls(len(table), pa.string())), "has 1 column that"),
        (lambda table: table.replace_schema_metadata({"note": "Zbigniewska"}), "metadata"),
        (
            lambda table: table.cast(
                table.schema.set(0, pa.field("recording_id", pa.string(), False, {"note": "Zbigniewska"}))
            ),
            "column 0 carries metadata",
        ),
        (
            lambda table: table.set_column(0, pa.field("recording_id", pa.binary(), False), table[0].cast(pa.binary())),
            "column 0 has another type",
        ),
    ],
)
def test_a_column_that_no_corpus_has(corpus: Path, change: Any, told: str) -> None:
    rewritten(corpus, change)
    (problem,) = check_corpus(corpus)[1]
    assert told in problem
    assert "Zbigniewska" not in problem


def test_a_file_that_no_ingest_wrote(corpus: Path) -> None:
    (corpus / "shards" / "train" / "Zbigniewska.xml").touch()
    (corpus / ".hidden").symlink_to("/nowhere")
    (problem,) = check_corpus(corpus)[1]
    assert "holds 2 files" in problem
    assert "Zbigniewska" not in problem
    assert open_corpus(corpus)
