"""Small archives and a plain-loop ingest, shared by the corpus tests."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hemometric.demo
from hemometric.corpus import (
    IngestConfig,
    Key,
    Manifest,
    commit,
    ingest_lock,
    load_or_create_key,
    open_corpus,
    plan_shards,
    prepare_ingest,
    rewrite_shard,
    stage_unit,
    write_shard,
)
from hemometric.ecg import LEADS, Int16

BUNDLED = Path(hemometric.demo.__file__).parent / "data" / "ptbxl"
Ingest = Callable[..., Manifest]
WriteRecord = Callable[..., Path]


def plain_ingest(
    config: IngestConfig,
    roots: Sequence[Path],
    out: Path,
    key: Key,
    *,
    backwards: bool = False,
    retry_quarantine: bool = False,
) -> Manifest:
    """The loop of `hemometric.corpus.ingest`; `backwards` takes units and shards in another order, as workers may."""
    step = -1 if backwards else 1
    with ingest_lock(out):
        plan = prepare_ingest(config, roots, out, key, retry_quarantine=retry_quarantine)
        if plan.finished is not None:
            return plan.finished
        for unit in plan.units[::step]:
            stage_unit(plan.context, unit)
        planned = plan_shards(plan)
        entries = [write_shard(plan.context, shard) for shard in planned.shards[::step]]
        return commit(plan, planned, entries + [rewrite_shard(plan.context, one) for one in planned.rewrites[::step]])


@pytest.fixture(scope="session")
def ingest() -> Ingest:
    return plain_ingest


@pytest.fixture(scope="session")
def bundled() -> Path:
    return BUNDLED


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    path = tmp_path_factory.mktemp("key") / "pseudonym.key"
    path.write_text("0123456789abcdef" * 4 + "\n")
    path.chmod(0o600)
    return load_or_create_key(path)


@pytest.fixture(scope="session")
def small_steps() -> IngestConfig:
    """Many units and many shards even for a few records."""
    return IngestConfig(unit_recordings=16, shard_bytes=200_000)


@pytest.fixture(scope="session")
def whole_corpus(tmp_path_factory: pytest.TempPathFactory, key: Key, small_steps: IngestConfig) -> Path:
    """The bundled PTB-XL as a corpus; read it only."""
    out = tmp_path_factory.mktemp("whole") / "corpus"
    plain_ingest(small_steps, [BUNDLED], out, key)
    return out


@pytest.fixture
def corpus_path(whole_corpus: Path, tmp_path: Path) -> Path:
    """A copy of the corpus that a test may damage."""
    shutil.copytree(whole_corpus, tmp_path / "corpus")
    return tmp_path / "corpus"


@pytest.fixture(scope="session")
def write_record() -> WriteRecord:
    """Write one WFDB record, format 16, of 12 leads that obey the limb-lead identities."""

    def write(folder: Path, name: str, *, seed: int = 0, rate_hz: int = 100, num_samples: int = 1000) -> Path:
        counts = ecg_counts(seed, rate_hz, num_samples)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.dat").write_bytes(counts.T.astype("<i2").tobytes())
        lines = [f"{name} 12 {rate_hz} {num_samples}"]
        for lead, row in zip(LEADS, counts, strict=True):
            checksum = int(row.astype(np.int64).sum()) & 0xFFFF
            checksum -= 0x10000 if checksum > 0x7FFF else 0
            lines.append(f"{name}.dat 16 1000(0)/mV 16 0 {row[0]} {checksum} 0 {lead}")
        header = folder / f"{name}.hea"
        header.write_text("\n".join(lines) + "\n")
        return header

    return write


def ecg_counts(seed: int, rate_hz: int, num_samples: int) -> Int16:
    """A train of beats with noise, int16 [12, sample] at 1000 counts a millivolt."""
    random = np.random.default_rng(seed)
    time = np.arange(num_samples) / rate_hz
    phase = (time * random.uniform(0.9, 1.5)) % 1.0
    beat = np.exp(-(((phase - 0.4) / 0.02) ** 2)) + 0.3 * np.exp(-(((phase - 0.7) / 0.06) ** 2))
    beat += 0.12 * np.exp(-(((phase - 0.22) / 0.03) ** 2))
    weights = random.uniform(0.5, 1.5, 8)
    measured = np.rint(1000 * weights[:, None] * beat + random.normal(0, 8, (8, num_samples)))
    one, two = measured[0], measured[0] * 0.4 + measured[1]
    one, two = 2 * np.rint(one / 2), 2 * np.rint(two / 2)  # even counts, so that halves are whole
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.stack([*limb, *measured[2:]]).astype(np.int16)


@pytest.fixture(scope="session")
def rewrite_manifest() -> Callable[[Path, Callable[[dict[str, Any]], None]], None]:
    return change_manifest


@pytest.fixture(scope="session")
def replace_shard() -> Callable[[Path, int, pa.Table], Path]:
    return put_shard


def change_manifest(corpus: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest and its marker, as someone would who means to deceive."""
    content = json.loads((corpus / "manifest.json").read_text())
    change(content)
    text = json.dumps(content).encode()
    (corpus / "manifest.json").write_bytes(text)
    (corpus / "_SUCCESS").write_text(hashlib.sha256(text).hexdigest() + "\n")


def put_shard(corpus: Path, number: int, table: pa.Table) -> Path:
    """Write other rows over a shard, with size, hash and rows put right in the manifest."""
    path = corpus / open_corpus(corpus).manifest.shards[number].path
    pq.write_table(table, path)

    def change(content: dict[str, Any]) -> None:
        entry = content["shards"][number]
        entry["num_bytes"] = path.stat().st_size
        entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        entry["num_rows"] = len(table)

    change_manifest(corpus, change)
    return path
