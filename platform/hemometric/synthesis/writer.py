"""A synthetic cohort as a hospital would hand it over: WFDB records and a label table."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import asdict, fields
from pathlib import Path

from hemometric.config import fingerprint
from hemometric.ecg import LEADS
from hemometric.errors import UsageError
from hemometric.synthesis.cohort import Visit, generate
from hemometric.synthesis.config import SynthesisConfig
from hemometric.synthesis.truth import Truth
from hemometric.synthesis.wfdb_files import data_bytes, header_text

GENERATOR = 1
"""Raised whenever equal configs begin to give other bytes."""

LABELS = "labels.csv"
_OWNER = "synthesis.json"
_DRAFT = f"{_OWNER}.partial"
_LOCK = ".lock"
_PARTIAL = ".partial"
_TRUTHS = tuple(field.name for field in fields(Truth))
COLUMNS = (
    "record",
    "patient_id",
    "visit",
    "age_years",
    "sex",
    "site",
    "mpcwp_mmhg",
    "mpap_mmhg",
    "co_l_min",
    *(f"truth_{name}" for name in _TRUTHS),
)
"""Columns of the label table; see `Visit` and `Truth`."""


def write_cohort(config: SynthesisConfig, folder: Path) -> Path:
    """Write all visits as WFDB records of format 16, with ``labels.csv`` beside them.

    Records are ``records/<hundred of patients>/P<patient>_V<visit>.{hea,dat}``. Each file is written under a temporary
    name and renamed, the label table last: where it stands, the cohort is whole. The same call again keeps the records
    that are there, writes those that are missing, and ends in the same bytes.

    Returns
    -------
    Path
        The label table; its column ``record`` is relative to `folder` and has no extension.

    Raises
    ------
    UsageError
        `folder` is a file, or holds something other than this very cohort.
    """
    folder = Path(folder)
    _claim(config, folder)
    partial = folder / _PARTIAL
    partial.mkdir(exist_ok=True)
    draft = partial / LABELS
    with draft.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for visit in generate(config):
            _write_record(visit, folder, partial, config.num_samples)
            table.writerow(_row(visit))
    labels = folder / LABELS
    draft.replace(labels)
    shutil.rmtree(partial)
    return labels


def check_folder(config: SynthesisConfig, folder: Path) -> bool:
    """Say whether a folder is marked as this cohort's already; nothing is written.

    Raises
    ------
    UsageError
        It is a file, or holds something other than this very cohort.
    """
    remedy = "choose an empty or new folder"
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; {remedy} for the synthetic cohort")
    owner = folder / _OWNER
    if owner.is_file():
        try:
            found = json.loads(owner.read_bytes())
        except (ValueError, RecursionError):
            found = None
        if found != _identity(config):
            raise UsageError(f"{folder} holds a synthetic cohort of another config or version; {remedy}")
        return True
    # A claim that was killed before its rename leaves only its temporary file; a command that holds the folder, a lock.
    if folder.is_dir() and any(path.name not in (_DRAFT, _LOCK) for path in folder.iterdir()):
        raise UsageError(f"{folder} is not empty and holds no synthetic cohort; {remedy}")
    return False


def _identity(config: SynthesisConfig) -> dict[str, object]:
    return {"generator": GENERATOR, "fingerprint": fingerprint(config), "config": config.model_dump(mode="json")}


def _claim(config: SynthesisConfig, folder: Path) -> None:
    """Mark an empty folder as this cohort's, or find that it is already."""
    if not check_folder(config, folder):
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / _DRAFT
        draft.write_text(json.dumps(_identity(config), indent=2, sort_keys=True) + "\n", encoding="utf-8")
        draft.replace(folder / _OWNER)


def _write_record(visit: Visit, folder: Path, partial: Path, num_samples: int) -> None:
    header = folder / f"{visit.key}.hea"
    data = header.with_suffix(".dat")
    if header.is_file() and data.is_file() and data.stat().st_size == 2 * len(LEADS) * num_samples:
        return
    header.parent.mkdir(parents=True, exist_ok=True)
    text = header_text(
        header.stem,
        visit.counts,
        rate_hz=visit.rate_hz,
        gain_per_mv=visit.gain_per_mv,
        comments=(f"Age: {visit.age_years:.0f}", f"Sex: {visit.sex.capitalize()}", "Source: synthetic"),
    )
    # The header last: a reader finds records by their headers.
    _place(data_bytes(visit.counts), partial, data)
    _place(text.encode(), partial, header)


def _place(content: bytes, partial: Path, target: Path) -> None:
    draft = partial / target.name
    draft.write_bytes(content)
    draft.replace(target)


def _row(visit: Visit) -> list[str]:
    truth = asdict(visit.truth)
    return [
        visit.key,
        visit.patient_id,
        str(visit.visit),
        f"{visit.age_years:.1f}",
        visit.sex,
        visit.site,
        f"{visit.mpcwp_mmhg:.3f}",
        f"{visit.mpap_mmhg:.3f}",
        f"{visit.co_l_min:.3f}",
        *(f"{truth[name]:.4f}" for name in _TRUTHS),
    ]
