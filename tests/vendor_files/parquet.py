"""A Parquet file of two ECGs: their samples as bytes of int16 microvolts, lead by lead."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hemometric.vendors import Vendor
from hemometric.vendors.columnar_format import ColumnarConfig

QUANTISATION_MV = 0.0005
STORED = ("patient_id", "age_years", "sex", "acquired")
ITEMS = 2


def configured() -> Vendor:
    """Give the reader for this file."""
    reader, _ = ColumnarConfig(
        unit="uV", rate="hz", signal="ecg", id="exam", patient="mrn", age="age", sex="sex", time="taken"
    ).build()
    return reader


def write(folder: Path, signal: np.ndarray, leads: tuple[str, ...], rate_hz: float, person: dict) -> Path:
    """Write float [lead, sample] millivolts, and half of them; see `tests/vendor_files/README.md`."""
    counts = [np.rint(factor * signal * 1000).astype("<i2").tobytes() for factor in (1.0, 0.5)]
    columns = {
        "exam": pa.array([11, 12]),
        "mrn": [person["patient_id"]] * 2,
        "hz": pa.array([rate_hz] * 2),
        "age": pa.array([person["age_years"]] * 2, pa.int16()),
        "sex": [person["sex"].title()] * 2,
        "taken": pa.array([person["acquired"]] * 2, pa.timestamp("us")),
        "ecg": pa.array(counts, pa.binary()),
        "name": [person["name"]] * 2,
        "note": [person["note"]] * 2,
    }
    path = folder / "ecgs.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=1, write_page_checksum=True)
    return path
