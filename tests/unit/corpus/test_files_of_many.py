"""A file of many ECGs counts once: in the room that is asked for, in what makes a unit, and in what is hashed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hemometric import vendors
from hemometric.corpus import IngestConfig, Key, Manifest, ingest_lock, prepare_ingest, stage_unit, stamps
from hemometric.errors import PrecheckError
from hemometric.vendors.guarded import GuardConfig

NUM = 40


@pytest.fixture
def archive(tmp_path: Path, write_record: Callable[..., Path]) -> Path:
    (source,) = vendors.find([write_record(tmp_path / "wfdb", "r0")])
    signal = vendors.read(source).signal
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays" / "many.npy", np.stack([signal * (1 + number / NUM) for number in range(NUM)]))
    return tmp_path / "arrays"


@pytest.fixture
def config(archive: Path) -> IngestConfig:
    """Units of a quarter of the file."""
    size = (archive / "many.npy").stat().st_size
    return IngestConfig(
        patients="recording_is_patient",
        find_duplicates=False,
        formats={"npy": {"rate_hz": 100, "unit": "mV", "axes": ("ecg", "lead", "sample")}},  # type: ignore[arg-type]
        unit_bytes=size // 4 + NUM,
        guard=GuardConfig(enabled=False),
    )


def test_room_is_asked_for_once(
    archive: Path, tmp_path: Path, config: IngestConfig, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (archive / "many.npy").stat().st_size
    usage = shutil.disk_usage(tmp_path)
    for free in (2 * size, size // 2):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        with ingest_lock(tmp_path / "out"):
            if free > size:
                assert prepare_ingest(config, [archive], tmp_path / "out", key).num_fresh == NUM
            else:
                with pytest.raises(PrecheckError, match="this ingest needs"):
                    prepare_ingest(config, [archive], tmp_path / "out", key)


def test_its_share_makes_units_and_it_is_hashed_once(
    archive: Path, tmp_path: Path, config: IngestConfig, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    plain = stamps._digest

    def counted(path: Path, *arguments: object) -> bytes:
        hashed.append(path)
        return plain(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(stamps, "_digest", counted)
    with ingest_lock(tmp_path / "out"):
        plan = prepare_ingest(config, [archive], tmp_path / "out", key)
        assert [len(unit.sources) for unit in plan.units] == [NUM // 4] * 4
        for unit in plan.units:
            assert stage_unit(plan.context, unit).num_accepted == NUM // 4
    assert hashed == [archive / "many.npy"]


def test_a_file_that_changes_between_two_units_is_hashed_again(
    archive: Path, tmp_path: Path, config: IngestConfig, key: Key, ingest: Callable[..., Manifest]
) -> None:
    with ingest_lock(tmp_path / "out"):
        plan = prepare_ingest(config, [archive], tmp_path / "out", key)
        stage_unit(plan.context, plan.units[0])
    values = np.load(archive / "many.npy")
    np.save(archive / "many.npy", values[::-1])
    ingest(config, [archive], tmp_path / "out", key)
    ingest(config, [archive], tmp_path / "fresh", key)
    assert (tmp_path / "out" / "manifest.json").read_bytes() == (tmp_path / "fresh" / "manifest.json").read_bytes()
