"""An export holds the recordings of a corpus, under pseudonyms, in files that others' readers take."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from hemometric.config import decode, essence, fingerprint
from hemometric.corpus import SPLITS, Corpus, open_corpus
from hemometric.corpus import files as files_module
from hemometric.ecg import INVALID_COUNT
from hemometric.errors import DataRejectedError, IntegrityError, PrecheckError, UsageError
from hemometric.runs import export_arrays
from hemometric.runs.export import ExportRun, run
from hemometric.runs.export_card import feature
from hemometric.runs.export_readme import _OF_SIGNAL
from hemometric.runs.export_selection import Selection
from hemometric.waveform import Preparation, prepare

PREPARATION = {"rate_hz": 50, "duration_s": 4, "leads": ["II", "V1"]}
Make = Callable[..., Path]


@pytest.fixture
def corpus(line: Any) -> Corpus:
    return open_corpus(line.labelled)


@pytest.fixture
def make(line: Any, tmp_path: Path) -> Make:
    """Export the synthetic cohort; the folder."""

    def make(to: str, name: str = "out", *, corpus: Path | None = None, **fields: Any) -> Path:
        data = {"corpus": str(corpus or line.labelled), "out": str(tmp_path / name), "to": to}
        run(decode(ExportRun, data | {"preparation": PREPARATION} | fields))
        return tmp_path / name

    return make


def expected(corpus: Corpus, split: str) -> dict[str, np.ndarray]:
    preparation = decode(Preparation, PREPARATION)
    signals = {row["recording_id"]: prepare(recording, preparation) for row, recording in corpus.recordings([split])}
    return {name: signal for name, signal in signals.items() if isinstance(signal, np.ndarray)}


def listed(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not str(path.relative_to(folder)).startswith(".")
    )


def test_native_parquet_holds_every_count_and_its_scale(corpus: Corpus, make: Make) -> None:
    out = make("parquet", signals="native")
    for split in SPLITS:
        table = pa.concat_tables([pq.read_table(p, partitioning=None) for p in sorted(out.glob(f"{split}/*.parquet"))])
        rows = table.to_pylist()
        recordings = list(corpus.recordings([split]))
        assert [row["recording_id"] for row in rows] == [row["recording_id"] for row, _ in recordings]
        for row, (_, recording) in zip(rows, recordings, strict=True):
            counts = np.array(row["signal"], np.int16)
            assert np.array_equal(counts, recording.counts)
            millivolts = (counts - np.array(row["offset_counts"])[:, None]) / np.array(row["gain_per_mv"])[:, None]
            assert np.allclose(millivolts, recording.signal, atol=1e-6)
            assert (tuple(row["leads"]), row["rate_hz"]) == (recording.leads, recording.rate_hz)
    assert len(list(out.glob("*/*.parquet"))) == len(corpus.manifest.shards)


def test_prepared_parquet_holds_what_an_encoder_would_read(corpus: Corpus, make: Make) -> None:
    out = make("parquet")
    table = pq.read_table(out / "train" / "part-00000.parquet", partitioning=None)
    assert table.schema.field("signal").type == pa.list_(pa.list_(pa.float32(), 200), 2)
    wanted = expected(corpus, "train")
    for row in table.to_pylist():
        assert np.array_equal(np.array(row["signal"], np.float32), wanted[row["recording_id"]])
    about = json.loads(table.schema.metadata[b"hemometric.export"])
    assert about["signal"] == "float32 [2][200] mV at 50 Hz; leads II V1"
    assert (about["corpus_hash"], about["preparation"]["rate_hz"]) == (corpus.hash, 50)


def test_times_and_texts_of_the_archive_stay_unless_named(corpus: Corpus, make: Make) -> None:
    def names(folder: Path) -> list[str]:
        return pq.read_schema(folder / "train" / "part-00000.parquet").names

    unasked = names(make("parquet"))
    assert unasked[:3] == ["recording_id", "patient", "split"]
    assert {"age_years", "sex", "flags", "label.mpcwp_mmhg", "signal"} <= set(unasked)
    assert not {"acquired", "site", "content", "facts", "source_format", "partition"} & set(unasked)
    named = names(make("parquet", "named", selection={"columns": ["acquired", "site", "mpcwp_mmhg"]}))
    assert named == ["recording_id", "patient", "split", "acquired", "site", "label.mpcwp_mmhg", "signal"]
    added = names(make("parquet", "added", selection={"add_columns": ["acquired", "sex"]}))
    assert added == [*unasked[:-1], "acquired", "signal"]
    both = names(make("parquet", "both", selection={"columns": ["sex"], "add_columns": ["site"]}))
    assert both == ["recording_id", "patient", "split", "sex", "site", "signal"]
    with pytest.raises(UsageError, match="has no column 'acquird'; did you mean 'acquired'"):
        make("parquet", "wrong", selection={"columns": ["acquird"]})
    assert not (make("parquet").parent / "wrong").exists()


def test_columns_that_are_added_change_the_fingerprint_of_no_other_export() -> None:
    plain = Selection(columns=("sex",))
    assert "add_columns" not in essence(plain)
    assert fingerprint(plain) != fingerprint(Selection(columns=("sex",), add_columns=("site",)))


def test_columns_are_those_of_the_corpus(corpus: Corpus, make: Make) -> None:
    out = make("parquet", selection={"columns": ["sex", "age_years", "flags", "mpcwp_mmhg"], "splits": ["test"]})
    table = pa.concat_tables([pq.read_table(path, partitioning=None) for path in sorted(out.glob("test/*"))])
    known = corpus.table(["test"], columns=table.drop_columns(["signal"]).column_names)
    assert table.drop_columns(["signal"]).replace_schema_metadata().equals(known)
    assert [path.name for path in out.iterdir() if path.is_dir() and path.name[0] != "."] == ["test"]


def test_only_what_is_selected_goes(line: Any, corpus: Corpus, make: Make) -> None:
    table = corpus.table()
    num_labelled = len(table) - table["label.mpcwp_mmhg"].null_count
    flags = sorted({flag for found in table["flags"].to_pylist() for flag in found})
    out = make("parquet", "labelled", selection={"has_label": ["mpcwp_mmhg"]})
    assert sum(json.loads((out / "_export.json").read_text())["rows"].values()) == num_labelled
    if flags:
        out = make("parquet", "clean", selection={"without_flag": flags})
        num_clean = sum(not found for found in table["flags"].to_pylist())
        assert sum(json.loads((out / "_export.json").read_text())["rows"].values()) == num_clean
    real = open_corpus(line.real).table(columns=["flags"])["flags"].to_pylist()
    counts = {flag: sum(flag in found for found in real) for found in real for flag in found}
    flag = max(counts, key=lambda name: counts[name])
    out = make("npy", "real", corpus=line.real, selection={"without_flag": [flag]})
    assert sum(json.loads((out / "_export.json").read_text())["rows"].values()) == len(real) - counts[flag]
    with pytest.raises(UsageError, match="has no label 'mpcwp'; it has mpcwp_mmhg"):
        make("parquet", "wrong", selection={"has_label": ["mpcwp"]})


def test_the_layout_of_hugging_face(corpus: Corpus, make: Make) -> None:
    """data/<split>-<number>-of-<number>.parquet, and a card whose head names files, features and rows."""
    out = make("hf")
    files = listed(out)
    assert {"README.md", "_SUCCESS", "_export.json"} < set(files)
    head, body = (out / "README.md").read_text().removeprefix("---\n").split("---\n", 1)
    card = yaml.safe_load(head)
    assert "load_dataset" in body
    entries = {entry["split"]: entry["path"] for entry in card["configs"][0]["data_files"]}
    assert entries == {split: f"data/{split}-*" for split in SPLITS}
    for split, info in zip(SPLITS, card["dataset_info"]["splits"], strict=True):
        mine = [path for path in files if path.startswith(f"data/{split}-")]
        assert mine == [f"data/{split}-{number:05d}-of-{len(mine):05d}.parquet" for number in range(len(mine))]
        assert info["name"] == split
        assert info["num_examples"] == sum(pq.read_metadata(out / path).num_rows for path in mine)
        assert info["num_bytes"] == sum((out / path).stat().st_size for path in mine)
        assert info["num_examples"] == corpus.manifest.counts.splits[split].recordings
    assert len(files) == 3 + len(corpus.manifest.shards)
    schema = pq.read_schema(out / files[files.index("README.md") + 3])
    features = {item["name"]: item for item in card["dataset_info"]["features"]}
    assert list(features) == schema.names
    assert features["signal"] == {"name": "signal", "sequence": {"sequence": "float32", "length": 200}, "length": 2}
    assert features["flags"] == {"name": "flags", "sequence": "string"}
    assert features["age_years"] == {"name": "age_years", "dtype": "float64"}


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (pa.timestamp("us"), {"dtype": "timestamp[us]"}),
        (pa.int32(), {"dtype": "int32"}),
        (pa.float32(), {"dtype": "float32"}),
        (pa.list_(pa.list_(pa.int16())), {"sequence": {"sequence": "int16"}}),
        (pa.list_(pa.float64()), {"sequence": "float64"}),
    ],
)
def test_types_as_a_card_names_them(kind: pa.DataType, wanted: dict[str, Any]) -> None:
    assert feature(kind) == wanted


@pytest.mark.parametrize("signals", ["prepared", "native"])
def test_tars_hold_an_array_and_json_per_recording(corpus: Corpus, make: Make, signals: str) -> None:
    out = make("webdataset", signals=signals)
    native = {row["recording_id"]: recording.counts for row, recording in corpus.recordings(["test"])}
    wanted = native if signals == "native" else expected(corpus, "test")
    labels = corpus.table(["test"], columns=["recording_id", "label.mpcwp_mmhg"]).to_pylist()
    label_of = {row["recording_id"]: row["label.mpcwp_mmhg"] for row in labels}
    seen = []
    for path in sorted(out.glob("test-*.tar")):
        assert re.fullmatch(r"test-[0-9]{6}\.tar", path.name)
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            for array, row in zip(members[::2], members[1::2], strict=True):
                name = array.name.removesuffix(".npy")
                assert row.name == f"{name}.json", "files of one recording lie side by side"
                assert (array.mtime, array.uid, array.uname, array.mode) == (0, 0, "", 0o644)
                signal = np.load(io.BytesIO(tar.extractfile(array).read()), allow_pickle=False)  # type: ignore[union-attr]
                content = json.loads(tar.extractfile(row).read())  # type: ignore[union-attr]
                assert signal.dtype == wanted[name].dtype
                assert np.array_equal(signal, wanted[name])
                assert (content["recording_id"], content["label.mpcwp_mmhg"]) == (name, label_of[name])
                assert "acquired" not in content
                seen.append(name)
    assert sorted(seen) == sorted(wanted)


def test_arrays_can_be_mapped_and_rows_lie_beside_them(corpus: Corpus, make: Make) -> None:
    out = make("npy")
    for split in SPLITS:
        signals = np.load(out / f"{split}.npy", mmap_mode="r", allow_pickle=False)
        assert isinstance(signals, np.memmap)
        rows = pq.read_table(out / f"{split}.parquet")
        wanted = expected(corpus, split)
        assert signals.shape == (len(wanted), 2, 200)
        assert signals.dtype == np.float32
        assert "signal" not in rows.column_names
        for signal, name in zip(signals, rows["recording_id"].to_pylist(), strict=True):
            assert np.array_equal(signal, wanted[name])
    assert listed(out) == [
        "README.md",
        "_SUCCESS",
        "_export.json",
        *(f"{s}.{e}" for s in sorted(SPLITS) for e in ("npy", "parquet")),
    ]


@pytest.mark.parametrize(
    ("to", "signals", "name"),
    [
        ("parquet", "prepared", "_README.md"),
        ("parquet", "native", "_README.md"),
        ("hf", "prepared", "README.md"),
        ("webdataset", "native", "README.md"),
        ("npy", "prepared", "README.md"),
    ],
)
def test_a_readme_says_what_is_there(corpus: Corpus, make: Make, to: str, signals: str, name: str) -> None:
    out = make(to, signals=signals, selection={"add_columns": ["acquired"]})
    text = (out / name).read_text()
    assert "| `label.mpcwp_mmhg` | label, mmHg; absent where not known |" in text
    assert "| `acquired` | time of recording, shifted by whole days that are the patient's own |" in text
    assert "| `quality.duration_s` | measure of quality: length, s |" in text
    assert "| `quality.beat_s` | measure of quality: time from beat to beat, median, s |" in text
    assert "licence" in text
    assert "`signal` is int16" in text if signals == "native" else "`signal` is float32 [2][200] mV at 50 Hz" in text
    columns = json.loads((out / "_export.json").read_text())["columns"]
    assert "see the corpus" not in text
    assert not [column for column in columns if f"| `{column}` | " not in text]


@pytest.mark.parametrize(("to", "signals"), [("parquet", "prepared"), ("parquet", "native"), ("npy", "prepared")])
def test_the_python_of_a_readme_reads_the_export(corpus: Corpus, make: Make, to: str, signals: str) -> None:
    out = make(to, signals=signals)
    text = (out / ("_README.md" if to == "parquet" else "README.md")).read_text()
    lines = text.partition("```python\n")[2].partition("```")[0]
    assert lines.count("\n") == 3
    found: dict[str, Any] = {}
    exec(lines.replace("path/to/this/folder", str(out)), found)
    wanted = expected(corpus, "train")
    native = {row["recording_id"]: recording.signal for row, recording in corpus.recordings(["train"])}
    assert len(found["signals"]) == len(found["ecgs"]) == len(wanted)
    for name, signal in zip(found["ecgs"]["recording_id"], found["signals"], strict=True):
        assert np.allclose(signal, native[name] if signals == "native" else wanted[name], atol=1e-6)


def test_the_python_of_native_signals_knows_what_is_no_sample() -> None:
    rows = {"signal": [[np.array([300, INVALID_COUNT], np.int16), np.array([-200, 0], np.int16)]]}
    rows |= {"offset_counts": [np.array([100.0, 0.0])], "gain_per_mv": [np.array([200.0, 100.0])]}
    found: dict[str, Any] = {"numpy": np, "ecgs": pd.DataFrame(rows)}
    exec(_OF_SIGNAL["native"], found)
    np.testing.assert_array_equal(found["signals"], [[[1.0, np.nan], [-2.0, 0.0]]])


def test_a_readme_is_in_the_way_of_no_reader_of_parquet(corpus: Corpus, make: Make) -> None:
    """Which take a folder as one table, all files of it but those whose names begin with _ or a dot."""
    assert len(pq.read_table(make("parquet"), columns=["recording_id"])) == corpus.manifest.counts.accepted


@pytest.mark.parametrize("where", ["", "shards", "new/folder", "link"])
def test_an_export_into_its_corpus_is_refused(line: Any, make: Make, tmp_path: Path, where: str) -> None:
    shutil.copytree(line.labelled, tmp_path / "corpus")
    (tmp_path / "way").symlink_to(tmp_path / "corpus")
    out = "way/inside" if where == "link" else f"corpus/{where}"
    before = sorted((tmp_path / "corpus").rglob("*"))
    with pytest.raises(UsageError, match=r"^out: .* lies within the corpus; choose a folder outside of it$"):
        make("parquet", out, corpus=tmp_path / "corpus")
    assert sorted((tmp_path / "corpus").rglob("*")) == before


@pytest.mark.parametrize("to", ["parquet", "npy"])
def test_files_that_others_put_there_stay(make: Make, tmp_path: Path, to: str) -> None:
    hidden, within = (".x.tmp", ".git/.y.tmp", ".mine.parquet"), (".drafts/thesis.txt", "train/.z.tmp")
    orphans = ("..notes.77-0123abcd.tmp", ".notes/.train.json.77-0123abcd.tmp")

    def put(names: tuple[str, ...]) -> None:
        for name in names:
            (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "out" / name).write_text("mine")

    put(hidden)
    make(to)
    put((*within, *orphans))
    make(to)
    assert [(tmp_path / "out" / name).read_text() for name in (*hidden, *within)] == ["mine"] * 5
    assert not any((tmp_path / "out" / name).exists() for name in orphans)


@pytest.mark.parametrize("to", ["parquet", "hf", "webdataset", "npy"])
def test_the_same_bytes_again_and_nothing_to_do_twice(make: Make, to: str) -> None:
    one, other = make(to, "one"), make(to, "other")
    assert listed(one) == listed(other)
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in listed(one))
    before = {name: (one / name).stat().st_mtime_ns for name in listed(one)}
    make(to, "one")
    assert {name: (one / name).stat().st_mtime_ns for name in listed(one)} == before
    damaged = next(name for name in listed(one) if name.startswith(("data/train", "train")))
    content = (one / damaged).read_bytes()
    (one / damaged).write_bytes(content[:-1])
    make(to, "one")
    assert (one / damaged).read_bytes() == content
    changed = {name for name in listed(one) if (one / name).stat().st_mtime_ns != before[name]}
    assert changed <= {damaged, "train.npy", "train.parquet"}


def test_it_says_that_it_is_finished(line: Any, make: Make, tmp_path: Path) -> None:
    make("hf")
    data = {"corpus": str(line.labelled), "out": str(tmp_path / "out"), "to": "hf", "preparation": PREPARATION}
    lines = run(decode(ExportRun, data))
    assert lines[0] == f"{tmp_path / 'out'} is finished already; nothing to do"
    assert lines[-1] == f"export: {tmp_path / 'out'}"
    left_behind = next(told for told in lines if told.startswith("left behind: "))
    assert "acquired" in left_behind
    assert "content" not in left_behind


def test_an_array_goes_on_where_it_stopped(line: Any, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = make("npy", "clean")
    append, calls = export_arrays._append, []

    def stopping(*arguments: Any) -> Any:
        calls.append(arguments[1].path)
        if len(calls) == 3:
            arguments[2].write(b"half a recording")
            raise KeyboardInterrupt
        return append(*arguments)

    monkeypatch.setattr(export_arrays, "_append", stopping)
    with pytest.raises(KeyboardInterrupt):
        make("npy")
    out = make("npy")
    assert calls.count(calls[0]) == 1, "a shard that was done is not done again"
    assert calls.count(calls[2]) == 2
    assert all((out / name).read_bytes() == (clean / name).read_bytes() for name in listed(clean))
    assert listed(out) == listed(clean)


def test_what_cannot_be_prepared_is_counted(corpus: Corpus, make: Make) -> None:
    lengths = corpus.table(columns=["num_samples", "rate_hz"]).to_pylist()
    longest = max(row["num_samples"] / row["rate_hz"] for row in lengths)
    refusing = {"preparation": {"rate_hz": 50, "duration_s": longest + 1, "pad": "refuse"}}
    for to in ("parquet", "npy"):
        with pytest.raises(DataRejectedError, match=rf"can be prepared so \(too_short {len(lengths)}\)"):
            make(to, to, **refusing)
        assert not (make("parquet", "fine").parent / to / "_SUCCESS").exists()


def test_another_export_or_folder_is_left_alone(make: Make, tmp_path: Path) -> None:
    out = make("parquet")
    before = listed(out)
    for other in (
        {"to": "hf"},
        {"to": "parquet", "signals": "native"},
        {"to": "parquet", "selection": {"columns": []}},
    ):
        with pytest.raises(UsageError, match="holds another export"):
            make(**other)
    assert listed(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty and holds no run"):
        make("parquet", "mine")
    assert os.listdir(tmp_path / "mine") == ["thesis.txt"]  # noqa: PTH208 - hidden files too


def test_native_signals_make_no_array(make: Make) -> None:
    with pytest.raises(UsageError, match="to: npy needs signals of one length"):
        make("npy", signals="native")


def test_no_recording_selected_is_said(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^selection: no recording of "):
        make("parquet", selection={"splits": []})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", ["parquet", "npy"])
def test_a_damaged_shard_ends_it_unfinished(line: Any, make: Make, tmp_path: Path, to: str) -> None:
    shutil.copytree(line.labelled, tmp_path / "corpus")
    path = tmp_path / "corpus" / open_corpus(tmp_path / "corpus").manifest.shards[1].path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="is damaged"):
        make(to, corpus=tmp_path / "corpus")
    assert not (tmp_path / "out" / "_SUCCESS").exists()


@pytest.mark.parametrize("to", ["hf", "npy", "webdataset"])
def test_a_full_disk_leaves_no_half_file(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str) -> None:
    with monkeypatch.context() as patched:

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patched.setattr(files_module.os, "fsync", full)
        with pytest.raises(PrecheckError, match="no room left"):
            make(to)
    assert not [name for name in listed(tmp_path / "out") if name.endswith((".parquet", ".npy", ".tar", "_SUCCESS"))]
    if to != "hf":
        with monkeypatch.context() as patched:
            usage = shutil.disk_usage(tmp_path)._replace(free=1000)
            patched.setattr(files_module.shutil, "disk_usage", lambda _: usage)
            with pytest.raises(PrecheckError, match="this export needs"):
                make(to)
    make(to)
