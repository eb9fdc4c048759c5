"""Embedding and predicting a corpus: every recording once, each file whole, nothing done twice."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import dataset

from hemometric.corpus import open_corpus
from hemometric.encoders import load
from hemometric.errors import DataRejectedError, IntegrityError, PrecheckError, UsageError
from hemometric.runs import embed, predict
from hemometric.runs.folder import held_folder
from hemometric.runs.shardwise import read_output

HERE = {"workers": 0}


@pytest.fixture(scope="module")
def finished(line: Any, encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embeddings of the synthetic cohort; read them only."""
    out = tmp_path_factory.mktemp("embed") / "out"
    embed.run(line.shardwise("embed", encoder, out, **HERE))
    return out


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


def test_every_recording_has_the_row_that_the_model_gives(line: Any, encoder: Path, finished: Path) -> None:
    table = read_output(finished)
    corpus, model = open_corpus(line.labelled), load(encoder)
    held = list(corpus.recordings())
    assert table.num_rows == len(held) == corpus.manifest.counts.accepted
    by_id = dict(zip(table["recording_id"].to_pylist(), table["embedding"].to_pylist(), strict=True))
    expected = model.embed([recording for _, recording in held])
    for (row, _), z in zip(held, expected, strict=True):
        np.testing.assert_allclose(by_id[row["recording_id"]], z, rtol=1e-4, atol=1e-5)


def test_it_is_plain_arrow_with_counts_and_hashes(line: Any, encoder: Path, finished: Path) -> None:
    summary = json.loads((finished / "_summary.json").read_text())
    corpus = open_corpus(line.labelled)
    assert (summary["manifest_hash"], summary["model_hash"]) == (corpus.hash, load(encoder).hash)
    assert summary["num_rows"] == corpus.manifest.counts.accepted
    assert [part["path"] for part in summary["parts"]] == [
        shard.path.removeprefix("shards/") for shard in corpus.manifest.shards
    ]
    assert len(summary["parts"]) > 3
    for part in summary["parts"]:
        schema = pq.read_schema(finished / part["path"])
        assert schema.field("embedding").type == pa.list_(pa.float32())
        assert schema.names == ["recording_id", "embedding"]
    assert (finished / "_SUCCESS").is_file()


def note_of(part: Path) -> Path:
    return part.with_name(f"_{part.stem}.json")


def test_any_reader_takes_the_folder_as_one_table(finished: Path) -> None:
    """Notes, summary and markers are no Parquet, and the folders of the splits are no column."""
    expected = read_output(finished).sort_by("recording_id").to_pydict()
    assert {path.suffix for path in finished.rglob("[!_.]*") if path.is_file()} == {".parquet"}
    frame = pandas.read_parquet(finished).sort_values("recording_id")
    assert list(frame.columns) == ["recording_id", "embedding"]
    assert frame["recording_id"].tolist() == expected["recording_id"]
    np.testing.assert_array_equal(np.stack(frame["embedding"]), np.array(expected["embedding"], np.float32))
    for given in (dataset.dataset(finished), dataset.dataset(finished, partitioning="hive")):
        assert given.schema.names == ["recording_id", "embedding"]
        assert given.to_table().sort_by("recording_id").to_pydict() == expected


def test_embeddings_name_their_model(line: Any, encoder: Path, finished: Path) -> None:
    identity = load(encoder).identity
    told = {b"hemometric.model": identity.encode()}
    for part in finished.rglob("*.parquet"):
        assert pq.read_schema(part).metadata == told
    assert read_output(finished).schema.metadata == dataset.dataset(finished).schema.metadata == told
    assert json.loads((finished / "_summary.json").read_text())["model"] == identity


def stamps(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}


def test_only_what_is_missing_or_damaged_is_done_again(line: Any, encoder: Path, copied: Path) -> None:
    before = {name: (copied / name).read_bytes() for name in stamps(copied)}
    names = sorted(before)
    (copied / "_SUCCESS").unlink()
    (copied / names[0]).unlink()
    (copied / names[1]).write_bytes(before[names[1]][:-5])
    note_of(copied / names[2]).write_text('{"path": "x"')
    (copied / f"{names[3]}").with_name(f".{Path(names[3]).name}.77.tmp").write_bytes(b"half")
    kept = stamps(copied)
    lines = embed.run(line.shardwise("embed", encoder, copied, **HERE))
    assert {name: (copied / name).read_bytes() for name in names} == before
    again = {name for name, stamp in stamps(copied).items() if kept.get(name) != stamp}
    assert again == set(names[:3])
    assert (
        lines[0] == f"{read_output(copied).num_rows} of {read_output(copied).num_rows} recordings in {len(names)} files"
    )


def test_a_finished_output_is_a_no_op(line: Any, encoder: Path, copied: Path) -> None:
    before = stamps(copied)
    lines = embed.run(line.shardwise("embed", encoder, copied, **HERE))
    assert stamps(copied) == before
    assert lines[0] == f"{copied} is finished already; nothing to do"
    (copied / "_SUCCESS").unlink()
    assert embed.run(line.shardwise("embed", encoder, copied, **HERE)) == lines[1:], "what was cut off was not finished"


def test_another_model_or_corpus_or_job_in_the_same_folder_is_refused(
    line: Any, encoder: Path, estimator: Path, copied: Path
) -> None:
    for job, model, change in (
        ("embed", estimator, {}),
        ("embed", encoder, {"corpus": line.real}),
        ("predict", estimator, {}),
        ("embed", encoder, {"splits": ["test"]}),
        ("embed", encoder, {"splits": ["train", "test"]}),
    ):
        run = embed.run if job == "embed" else predict.run
        with pytest.raises(UsageError, match="holds the output of another model, corpus or choice of splits; choose"):
            run(line.shardwise(job, model, copied, **HERE, **change))


def test_all_splits_named_are_all_splits(line: Any, encoder: Path, copied: Path) -> None:
    before = (copied / "_summary.json").read_bytes()
    embed.run(line.shardwise("embed", encoder, copied, **HERE, splits=["test", "train", "validation"]))
    assert (copied / "_summary.json").read_bytes() == before


def test_a_full_disk_ends_in_a_sentence_and_leaves_no_half_file(line: Any, encoder: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, hard))
    try:
        with pytest.raises(PrecheckError, match=r"no room left to write in .*; free some space"):
            embed.run(line.shardwise("embed", encoder, tmp_path / "out", **HERE))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert not list((tmp_path / "out").rglob("*.parquet"))
    embed.run(line.shardwise("embed", encoder, tmp_path / "out", **HERE))
    assert read_output(tmp_path / "out").num_rows == open_corpus(line.labelled).manifest.counts.accepted


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"parts": 3}', '{"parts": [3]}', '{"parts": []}', "[" * 100_000]
    + [
        json.dumps({"parts": [{"path": path}]})
        for path in ("../out/train/part-00000.parquet", "/train/part-00000.parquet", "train/../x.parquet", 3, "train")
    ],
)
def test_a_summary_that_is_damaged_or_reaches_out_is_refused(copied: Path, text: str) -> None:
    (copied / "_summary.json").write_text(text)
    (copied / "_SUCCESS").write_text(hashlib.sha256(text.encode()).hexdigest() + "\n")
    with pytest.raises(IntegrityError, match=r"_summary\.json (is missing or damaged|lists files that no output has)"):
        read_output(copied)


def test_an_output_that_is_not_what_was_written_is_refused(copied: Path) -> None:
    summary = copied / "_summary.json"
    content = summary.read_text()
    summary.write_text(content.replace('"num_rows"', '"num_row"'))
    with pytest.raises(IntegrityError, match=r"_summary\.json is not the file that was written"):
        read_output(copied)
    summary.unlink()
    with pytest.raises(IntegrityError, match=r"_summary\.json is missing or damaged"):
        read_output(copied)
    summary.write_text(content)
    part = copied / json.loads(content)["parts"][0]["path"]
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(IntegrityError, match=rf"{part.name} is missing or damaged"):
        read_output(copied)
    part.unlink()
    with pytest.raises(IntegrityError, match=rf"{part.name} is missing or damaged"):
        read_output(copied)


def test_a_note_of_another_file_is_not_believed(line: Any, encoder: Path, copied: Path) -> None:
    names = sorted(stamps(copied))
    note = note_of(copied / names[0])
    wrong = json.loads(note.read_text()) | {"path": "../elsewhere.parquet"}
    note.write_text(json.dumps(wrong))
    embed.run(line.shardwise("embed", encoder, copied, **HERE))
    assert json.loads(note.read_text())["path"] == names[0]


def test_splits_can_be_chosen(line: Any, encoder: Path, tmp_path: Path) -> None:
    embed.run(line.shardwise("embed", encoder, tmp_path / "out", **HERE, splits=["test"]))
    expected = open_corpus(line.labelled).table(["test"], ["recording_id"])["recording_id"].to_pylist()
    assert sorted(read_output(tmp_path / "out")["recording_id"].to_pylist()) == sorted(expected)


def test_a_model_that_fits_no_recording_is_refused(line: Any, tmp_path: Path, refusing: Path) -> None:
    accepted = open_corpus(line.labelled).manifest.counts.accepted
    with pytest.raises(DataRejectedError, match=rf"fits none of the {accepted} recordings .* .too_short {accepted}.;"):
        embed.run(line.shardwise("embed", refusing, tmp_path / "out", **HERE))
    assert not (tmp_path / "out" / "_SUCCESS").exists()


def test_what_cannot_be_prepared_is_counted(line: Any, refusing: Path, mixed: Path, tmp_path: Path) -> None:
    lines = embed.run(line.shardwise("embed", refusing, tmp_path / "out", **HERE, corpus=mixed))
    assert lines[0].startswith("2 of 7 recordings in ")
    assert lines[1] == "refused: too_short 5"
    assert read_output(tmp_path / "out").num_rows == 2
    assert json.loads((tmp_path / "out" / "_summary.json").read_text())["rejected"] == {"too_short": 5}


@pytest.fixture
def mixed(line: Any, tmp_path: Path) -> Path:
    """A corpus of five short and two long recordings."""
    from hemometric.runs import ingest
    from hemometric.synthesis import SynthesisConfig, write_cohort

    for name, num, duration_s in (("short", 5, 10.0), ("long", 2, 60.0)):
        own = SynthesisConfig(num_patients=num, visits_max=1, rate_hz=100.0, duration_s=duration_s, seed=num)
        write_cohort(own, tmp_path / name)
    fields: dict[str, Any] = {"table": {"kind": "none"}, "patients": "recording_is_patient"}
    sources = [str(tmp_path / "short" / "records"), str(tmp_path / "long")]
    ingest.run(line.ingest(tmp_path / "mixed", workers=0, sources=sources, ingest=fields))
    return tmp_path / "mixed"


@pytest.fixture
def refusing(encoder: Path, tmp_path: Path) -> Path:
    """A model that wants longer recordings than there are."""
    from hemometric.encoders import save
    from hemometric.waveform import Preparation

    model = load(encoder)
    save(
        tmp_path / "refusing",
        encoder=model.encoder,
        encoder_config=model.description.encoder,
        preparation=Preparation(duration_s=60.0, pad="refuse"),
        provenance={},
        metrics={},
    )
    return tmp_path / "refusing"


def test_a_damaged_corpus_ends_with_its_file(line: Any, encoder: Path, tmp_path: Path) -> None:
    shutil.copytree(line.labelled, tmp_path / "corpus")
    shard = tmp_path / "corpus" / open_corpus(line.labelled).manifest.shards[2].path
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(IntegrityError, match=shard.name):
        embed.run(line.shardwise("embed", encoder, tmp_path / "out", **HERE, corpus=tmp_path / "corpus"))
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    with pytest.raises(UsageError, match="holds no finished output; run hemometric embed or predict first"):
        read_output(tmp_path / "out")


def test_predictions_are_in_mmhg_and_equal_the_model_s_own(line: Any, estimator: Path, tmp_path: Path) -> None:
    lines = predict.run(line.shardwise("predict", estimator, tmp_path / "out", **HERE))
    assert "mmHg" in lines[-1]
    table = read_output(tmp_path / "out")
    assert table.schema.names == ["recording_id", "estimate"]
    held = list(open_corpus(line.labelled).recordings())
    by_id = dict(zip(table["recording_id"].to_pylist(), table["estimate"].to_pylist(), strict=True))
    expected = load(estimator).predict([recording for _, recording in held])
    np.testing.assert_allclose([by_id[row["recording_id"]] for row, _ in held], expected, rtol=1e-5)
    assert 5 < expected.mean() < 30


def test_predictions_say_what_they_are(line: Any, estimator: Path, tmp_path: Path) -> None:
    predict.run(line.shardwise("predict", estimator, tmp_path / "out", **HERE, splits=["test"]))
    told = {
        "model": load(estimator).identity,
        "label": "mpcwp_mmhg",
        "unit": "mmHg",
        "meaning": "mpcwp_mmhg in mmHg",
    }
    coded = {f"hemometric.{name}".encode(): value.encode() for name, value in told.items()}
    for part in (tmp_path / "out").rglob("*.parquet"):
        assert pq.read_schema(part).metadata == coded
    assert dataset.dataset(tmp_path / "out").schema.metadata == coded
    assert read_output(tmp_path / "out").schema.metadata == coded
    assert list(pandas.read_parquet(tmp_path / "out").columns) == ["recording_id", "estimate"]
    summary = json.loads((tmp_path / "out" / "_summary.json").read_text())
    assert told.items() <= summary.items()


def test_a_model_without_a_head_predicts_nothing(line: Any, encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no head; fine-tune or tune one: hemometric finetune --help"):
        predict.run(line.shardwise("predict", encoder, tmp_path / "out", **HERE))
    assert not (tmp_path / "out").exists()


def test_a_second_command_in_the_same_folder_changes_nothing(
    line: Any, encoder: Path, estimator: Path, copied: Path
) -> None:
    (copied / "_SUCCESS").unlink()
    with held_folder(copied):
        before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
        for model in (encoder, estimator):
            with pytest.raises(PrecheckError, match="another command is writing"):
                embed.run(line.shardwise("embed", model, copied, **HERE))
        assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before


def test_a_file_of_another_model_is_not_believed(line: Any, encoder: Path, estimator: Path, copied: Path) -> None:
    """However it came here, note and all: two models under one `_SUCCESS` would be read as one table."""
    name = sorted(stamps(copied))[0]
    ours = (copied / name).read_bytes()
    embed.run(line.shardwise("embed", estimator, copied.with_name("theirs"), **HERE))
    theirs = copied.with_name("theirs") / name
    for path in (theirs, note_of(theirs)):
        shutil.copy(path, (copied / name).with_name(path.name))
    embed.run(line.shardwise("embed", encoder, copied, **HERE))
    assert (copied / name).read_bytes() == ours
    # Even with a note that claims to be ours, the file's own schema names its model.
    note = json.loads(note_of(theirs).read_text())
    note["identity"] = json.loads(note_of(copied / name).read_text())["identity"]
    shutil.copy(theirs, copied / name)
    note_of(copied / name).write_text(json.dumps(note))
    with pytest.raises(IntegrityError, match=r"is not of this model; remove .* and run it again"):
        embed.run(line.shardwise("embed", encoder, copied, **HERE))


@pytest.mark.parametrize("change", [{"num_rows": "x"}, {"num_rows": None}, {"rejected": [1]}, {"more": 1}])
def test_a_strange_note_is_written_again(line: Any, encoder: Path, copied: Path, change: dict[str, Any]) -> None:
    note = note_of(copied / sorted(stamps(copied))[0])
    whole = note.read_text()
    for text in (json.dumps(json.loads(whole) | change), "[" * 100_000, "{}"):
        note.write_text(text)
        embed.run(line.shardwise("embed", encoder, copied, **HERE))
        assert note.read_text() == whole


def test_what_a_kill_left_half_written_is_removed(line: Any, encoder: Path, copied: Path) -> None:
    orphans = [copied / "._summary.json.7-0123abcd.tmp", copied / "train" / ".part-00000.parquet.7-0123abcd.tmp"]
    for orphan in orphans:
        orphan.write_bytes(b"half")
    embed.run(line.shardwise("embed", encoder, copied, **HERE))
    assert not any(orphan.exists() for orphan in orphans)
