"""Names, numbers and dates of patients, planted wherever a hospital puts them, come out nowhere."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from hemometric.corpus import open_corpus

NAME, NUMBER, BIRTH, SERIAL, TABLE_ID = "Zbigniewska", "MRN8675309", "17.03.1951", "CART-SN-44121", "PAT-TBL-5512"
CANARIES = (NAME, NUMBER, BIRTH, SERIAL, TABLE_ID)
NUM = 24


def archive(line: Any, folder: Path) -> Path:
    """The cohort's records under names, in folders and with comments as an archive has them; some of them broken."""
    headers = sorted(line.cohort.rglob("*.hea"))[:NUM]
    rows = ["record,patient_id,age,sex,mpcwp"]
    target = folder / f"{NAME}_ward" / f"{NUMBER}"
    target.mkdir(parents=True)
    for number, header in enumerate(headers):
        name = f"{NAME}_{NUMBER}_{number:02d}"
        text = header.read_text().replace(header.stem, name)
        comments = f"# Name: {NAME}^Anna\n# MRN: {NUMBER}\n# Date of birth: {BIRTH}\n# Device: {SERIAL}\n"
        (target / f"{name}.hea").write_text(text + comments)
        content = header.with_suffix(".dat").read_bytes()
        if number in (3, 7):
            content = content[:100]  # these fail, and what is said of them must not name them
        if number == 11:
            (target / f"{name}.hea").write_text(text.replace("(0)/mV", "(x)/mV", 1) + comments)
        (target / f"{name}.dat").write_bytes(content)
        rows.append(f"{name},{TABLE_ID}-{number // 2},{50 + number},F,{10 + number}")
    (target / f"{NAME}.txt").write_text(f"{NAME} {NUMBER}")
    (target / "labels.csv").write_text("\n".join(rows) + "\n")
    return target


def encodings(word: str) -> Iterator[bytes]:
    """Raw, both UTF-16s, hex, and base64 at each of its three alignments."""
    raw = word.encode()
    yield raw
    yield word.lower().encode()
    yield word.encode("utf-16-le")
    yield word.encode("utf-16-be")
    yield raw.hex().encode()
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw)
        # Characters at both ends depend on the neighbours.
        yield coded[4 if shift else 0 : -4]


def found_in(content: bytes) -> set[str]:
    return {word for word in CANARIES if any(code in content or code in content.lower() for code in encodings(word))}


def plain(path: Path) -> bytes:
    """A file's bytes; of a compressed table, also every value, its schema and its metadata."""
    content = path.read_bytes()
    if path.suffix == ".parquet":
        table = pq.read_table(path, partitioning=None)
        values = json.dumps([{k: str(v) for k, v in row.items()} for row in table.to_pylist()])
        binary = b"".join(
            value
            for name in table.column_names
            if pa.types.is_binary(table.schema.field(name).type)
            for value in table[name].to_pylist()
            if value is not None
        )
        content += values.encode() + repr(pq.read_schema(path).metadata).encode() + binary
    return content


def test_the_search_finds_what_is_planted(tmp_path: Path) -> None:
    """A search that finds nothing must be able to find something."""
    for word in CANARIES:
        for planted in (
            f"xx{word}yy".encode(),
            f"x{word}".encode("utf-16-le"),
            base64.b64encode(f"abcd {word} x".encode()),
        ):
            assert found_in(b"\1\2" + planted + b"\3") == {word}
    table = pa.table({"a": [f"x{NAME}"], "b": pa.array([NUMBER.encode()], pa.binary())})
    pq.write_table(table, tmp_path / "t.parquet", compression="zstd")
    assert found_in(plain(tmp_path / "t.parquet")) == {NAME, NUMBER}


@pytest.fixture(scope="module")
def source(line: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive(line, tmp_path_factory.mktemp("archive"))


def config(path: Path, data: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(json.loads(json.dumps(data, default=str))))
    return path


def test_the_whole_line_names_nobody(
    line: Any, source: Path, tmp_path: Path, hemometric: Any, monkeypatch: Any
) -> None:
    shutil.copytree(source.parents[1], tmp_path / "in")
    records = next((tmp_path / "in").rglob("labels.csv")).parent
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    monkeypatch.chdir(outputs)
    table = {
        "kind": "columns",
        "path": records / "labels.csv",
        "record": "record",
        "patient": "patient_id",
        "age": "age",
    }
    table["labels"] = {"mpcwp_mmhg": {"column": "mpcwp", "unit": "mmHg"}}
    ingest = {"table": table, "max_rejected_fraction": 0.5, "unit_recordings": 4}
    configs = tmp_path / "configs"
    configs.mkdir()
    split = {"kind": "hash", "train": 0.5, "validation": 0.3, "test": 0.2}
    first = config(configs / "ingest.yaml", {"job": "ingest", "workers": 0, "ingest": ingest | {"split": split}})
    tiny = {
        "job": "pretrain",
        "workers": 0,
        "corpus": "corpus",
        "out": "run",
        "cache": "cache",
        "num_steps": 2,
        "batch_size": 4,
        "preparation": {"duration_s": 4},
        "encoder": {"kind": "resnet1d", "blocks": [1], "widths": [4], "embedding_dim": 4},
    }
    strict = config(
        configs / "strict.yaml", {"job": "ingest", "workers": 0, "ingest": ingest | {"max_rejected_fraction": 0.0}}
    )
    said: list[str] = []
    for code, words in (
        (0, ["ingest", records, "--out", "corpus", "--key", line.key, "--config", first]),
        (0, ["ingest", records, "--out", "corpus", "--key", line.key, "--config", first]),
        (3, ["ingest", records, "--out", "refused", "--key", line.key, "--config", strict]),
        (0, ["verify", "corpus"]),
        (0, ["inspect", "corpus", "--draw", "first", "--out", "page.png"]),
        (0, ["pretrain", "--config", config(configs / "pretrain.yaml", tiny)]),
        (0, ["embed", "--model", "run/model", "--corpus", "corpus", "--out", "embeddings", "workers=0"]),
        (2, ["predict", "--model", "run/model", "--corpus", "corpus", "--out", "predictions", "workers=0"]),
    ):
        ended = hemometric(*words)
        said.append(ended.out + ended.err)
        assert ended.code == code, ended
    manifest = open_corpus(outputs / "corpus").manifest
    assert manifest.counts.accepted >= NUM - 4, "canaries were read, not refused"
    assert sum(manifest.counts.rejected.values()) >= 2
    assert manifest.counts.labels["mpcwp_mmhg"] == manifest.counts.accepted, "the table was joined"
    assert (outputs / "run" / "mlflow.db").is_file()
    assert found_in("\n".join(said).encode()) == set()
    checked = [path for path in outputs.rglob("*") if path.is_file()]
    assert {"manifest.json", "quarantine.parquet", "mlflow.db", "metrics.jsonl", "model.json", "page.png"} <= {
        path.name for path in checked
    }
    assert len(checked) > 25
    assert {str(path): found for path in checked if (found := found_in(str(path.relative_to(outputs)).encode()))} == {}
    assert {str(path): found for path in checked if (found := found_in(plain(path)))} == {}
    # The command comes to the same, and to another where one word stands in one value of one table.
    words = tmp_path / "words.txt"
    words.write_text("\n".join(CANARIES) + "\n")
    ended = hemometric("privacy", "scan", outputs, "--canaries", words)
    assert ended.code == 0, ended
    assert f"searched {len(checked)} files, " in ended.out
    embeddings = next((outputs / "embeddings").rglob("*.parquet"))
    table = pq.read_table(embeddings, partitioning=None)
    notes = pa.array([*[None] * (len(table) - 1), f"of {SERIAL.lower()}"])
    pq.write_table(table.append_column("note", notes), embeddings, compression="zstd", write_statistics=False)
    ended = hemometric("privacy", "scan", outputs, "--canaries", words)
    assert ended.code == 8, ended
    assert f"{embeddings.name}, column note, row {len(table) - 1}" in ended.out
    assert "word of line 4 " in ended.out
    assert found_in((ended.out + ended.err).encode()) == set()
    ended = hemometric("privacy", "scan", "corpus")
    assert ended.code == 0, ended
    refused = hemometric("quarantine", "list", "corpus", "--keys")
    assert refused.code == 0
    assert found_in((refused.out + refused.err).encode()) == set()


def test_the_tracker_hears_no_place(line: Any, tmp_path: Path, hemometric: Any, monkeypatch: Any) -> None:
    """A server is read by others: what is computed goes there, and not where it lies."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(line.real, tmp_path / f"{NAME}_corpus")
    database = tmp_path / "server" / "mlflow.db"
    database.parent.mkdir()
    run = line.pretrain(
        Path("run"), workers=0, num_steps=2, corpus=Path(f"{NAME}_corpus"), tracking={"uri": f"sqlite:///{database}"}
    )
    path = config(tmp_path / "pretrain.yaml", json.loads(run.model_dump_json()))
    ended = hemometric("pretrain", "--config", path)
    assert ended.code == 0, ended
    assert found_in(database.read_bytes()) == set()
    uploaded = [path for path in tmp_path.rglob("mlartifacts/**/*") if path.is_file()]
    assert [path.name for path in uploaded] == ["settings.yaml"]
    text = uploaded[0].read_text()
    assert str(tmp_path) not in text
    assert NAME not in text
    assert "learning_rate" in text
