"""A file of each format, cut at 0, 1, 50 and 99 %, among whole ones: itself is refused with a reason, they are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hemometric.ecg import LEADS

SHARES = (0, 1, 50, 99)
PERSON = {"name": "Doe^Jane", "birth_date": date(1959, 1, 1), "acquired": datetime(2019, 11, 5, 13, 37)}
PERSON |= {"age_years": 60, "sex": "female", "serial": "S1", "note": "none"}


@pytest.fixture(params=["all but arrow", "arrow"])
def archive(
    request: pytest.FixtureRequest, tmp_path: Path, vendor_files: dict[str, Any], formats: dict[str, Any],
    clean_ecgs: Callable[..., list[np.ndarray]],
) -> tuple[Path, dict[str, Any], list[str]]:  # fmt: skip
    """Write a whole file and four cut ones of each format that one ingest reads; give the config and the formats."""
    names = ["arrow"] if request.param == "arrow" else [name for name in vendor_files if name != "arrow"]
    ecgs = iter(clean_ecgs(5 * len(names), seed=21))
    for name in names:
        for share in (*SHARES, 100):
            folder = tmp_path / "archive" / f"{name}-{share}"
            folder.mkdir(parents=True)
            vendor_files[name].write(folder, next(ecgs), LEADS, 500.0, PERSON | {"patient_id": f"{name}-{share}"})
            target = max(folder.iterdir(), key=lambda file: file.stat().st_size)
            content = target.read_bytes()
            target.write_bytes(content[: share * len(content) // 100])
    return tmp_path / "archive", formats[names[0]], names


def test_the_cut_ones_are_refused_and_the_whole_ones_read(
    archive: tuple[Path, dict[str, Any], list[str]], ingested: Any, vendor_files: dict[str, Any]
) -> None:
    source, formats, names = archive
    fields = {"formats": formats, "patients": "recording_is_patient", "find_duplicates": False}
    cut = [f"{name}-{share}" for name in names for share in SHARES]
    whole = {name: getattr(vendor_files[name], "ITEMS", 1) for name in names}
    num_found = len(cut) + sum(whole.values())

    strict = ingested(source, **fields, max_rejected_fraction=len(cut) / num_found - 1e-6)
    assert strict.ended.code == 3
    assert f"{len(cut)} of {num_found} recordings were refused (" in strict.ended.err
    assert not (strict.corpus / "manifest.json").exists()

    done = ingested(source, **fields, max_rejected_fraction=len(cut) / num_found + 1e-6)
    assert done.ended.code == 0, done.ended
    fates = done.fates()
    assert {name: fates[f"{name}-100"] for name in names} == {name: ["accepted"] * num for name, num in whole.items()}
    for name in cut:
        assert len(fates[name]) == 1
        assert fates[name][0] in {"truncated", "unreadable"}, (name, fates[name])
    counts = done.counts
    assert (counts["found"], counts["accepted"]) == (num_found, num_found - len(cut))
    assert counts["rejected"] == Counter(reason for name in cut for reason in fates[name])
