"""A CSV file with a column for each lead, in microvolts, and one for the time."""

from pathlib import Path

import numpy as np

from hemometric.vendors import Vendor
from hemometric.vendors.csv_format import CsvConfig

QUANTISATION_MV = 0.0005
STORED = ()
CHECKED = False


def configured() -> Vendor:
    """Give the reader for this file."""
    return CsvConfig(unit="uV", rate_hz=500, time="time_ms", time_unit="ms").build()


def write(folder: Path, signal: np.ndarray, leads: tuple[str, ...], rate_hz: float, person: dict) -> Path:
    """Write float [lead, sample] millivolts as one file; see `tests/vendor_files/README.md`."""
    lines = [",".join(["time_ms", *leads, "note"])]
    for index, column in enumerate(np.rint(signal * 1000).astype(int).T):
        lines.append(",".join([f"{1000 * index / rate_hz:g}", *map(str, column), person["note"]]))
    path = folder / "ecg.csv"
    path.write_text("\n".join(lines) + "\n")
    return path
