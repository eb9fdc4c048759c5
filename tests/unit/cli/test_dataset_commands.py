"""Compact, merge and export have a pulse: each runs from its command line and ends in something that others read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hemometric.cli import app, guarded
from hemometric.corpus import open_corpus, verify


def hemometric(*words: object) -> int:
    return guarded(lambda: app(args=[str(word) for word in words], standalone_mode=False))


def test_compact(line: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(line.labelled, tmp_path / "corpus")
    before = open_corpus(tmp_path / "corpus").manifest
    assert len(before.shards) > 3
    assert hemometric("compact", tmp_path / "corpus") == 0
    told = capsys.readouterr().out
    assert f"{before.counts.accepted} recordings: {len(before.shards)} shards became 3; no row changed" in told
    assert len(verify(tmp_path / "corpus").shards) == 3
    assert hemometric("compact", tmp_path / "corpus") == 0
    assert "is compact already; nothing to do" in capsys.readouterr().out
    assert hemometric("compact", tmp_path / "corpus", "shard_bytes=70000") == 0
    assert len(verify(tmp_path / "corpus").shards) > 3


def test_merge(line: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(line.labelled, tmp_path / "copy")
    words = ["merge", line.labelled, tmp_path / "copy", "--out", tmp_path / "out", "--key", line.key]
    assert hemometric(*words, "shard_bytes=1000000") == 0
    told = capsys.readouterr().out
    held = open_corpus(line.labelled).manifest.counts
    assert verify(tmp_path / "out").counts.model_copy(update={"nulled": {}, "unmatched": 0}) == held.model_copy(
        update={"nulled": {}, "unmatched": 0}
    )
    assert f"{held.found} recordings met again in a later corpus, kept once" in told
    assert hemometric("merge", line.labelled, line.real, "--out", tmp_path / "no", "--key", line.key) == 2
    assert "were made with different configs" in capsys.readouterr().err
    assert hemometric("merge", line.labelled, "--out", tmp_path / "no", "--key", line.key) == 2
    assert "CORPORA: give at least 2, found 1" in capsys.readouterr().err
    assert hemometric("merge", line.labelled, line.labelled, "--out", tmp_path / "no") == 2
    assert "one corpus stands there twice" in capsys.readouterr().err


def test_export(line: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--split",
        "test",
        "--split",
        "train",
        "--has-label",
        "mpcwp_mmhg",
        "--column",
        "sex",
        "--column",
        "site",
    ]
    words = ["export", line.labelled, "--to", "hf", "--out", tmp_path / "out", *options, "preparation.rate_hz=50"]
    assert hemometric(*words) == 0
    told = capsys.readouterr().out
    assert "columns: recording_id, patient, split, sex, site" in told
    files = sorted(path.name for path in (tmp_path / "out" / "data").iterdir())
    assert {name.partition("-")[0] for name in files} == {"train", "test"}
    schema = pq.read_schema(tmp_path / "out" / "data" / files[0])
    assert schema.names == ["recording_id", "patient", "split", "sex", "site", "signal"]
    assert hemometric(*words) == 0
    assert "is finished already" in capsys.readouterr().out


def test_export_adds_columns_to_those_that_go_anyway(
    line: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", line.labelled, "--to", "npy", "--split", "test", "preparation.rate_hz=50"]
    assert hemometric(*words, "--out", tmp_path / "plain") == 0
    assert "--add-column" in capsys.readouterr().out
    assert hemometric(*words, "--out", tmp_path / "more", "--add-column", "site", "--add-column", "acquired") == 0
    plain, more = (pq.read_schema(tmp_path / name / "test.parquet").names for name in ("plain", "more"))
    assert more == [*plain, "site", "acquired"]


def test_export_by_a_config(line: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "export.yaml"
    config.write_text(
        "job: export\nto: npy\npreparation: {rate_hz: 50}\nselection: {columns: [sex], splits: [train]}\n"
    )
    words = ["export", line.labelled, "--out", tmp_path / "out", "--config", config, "--split", "test"]
    assert hemometric(*words) == 0
    assert (tmp_path / "out" / "test.npy").is_file()
    assert pq.read_schema(tmp_path / "out" / "test.parquet").names == ["recording_id", "patient", "split", "sex"]
    assert hemometric("export", line.labelled, "--to", "zarr", "--out", tmp_path / "no") == 2
    told = "hemometric: --to: input should be 'parquet', 'hf', 'webdataset' or 'npy', found 'zarr'"
    assert capsys.readouterr().err.startswith(told)
    assert hemometric("export", line.labelled, "--to", "npy", "--out", tmp_path / "no", "--split", "tset") == 2
    assert "hemometric: --split: input should be" in (told := capsys.readouterr().err)
    assert told.endswith("found 'tset'; did you mean 'test'?\n")
    assert hemometric("export", line.labelled, "--to", "npy") == 2
    assert "'out' is missing; give --out" in capsys.readouterr().err
