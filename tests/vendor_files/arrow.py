"""An Arrow file (Feather) of two ECGs: each lead a column of lists of float32 millivolts."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from hemometric.vendors import Vendor
from hemometric.vendors.columnar_format import ColumnarConfig

QUANTISATION_MV = 0.0005
STORED = ("patient_id", "age_years", "sex", "acquired")
ITEMS = 2
CHECKED = False


def configured() -> Vendor:
    """Give the reader for this file."""
    _, reader = ColumnarConfig(
        unit="mV", rate_hz=500, patient="mrn", age="age", sex="sex", sexes={"1": "female", "0": "male"}, time="taken"
    ).build()
    return reader


def write(folder: Path, signal: np.ndarray, leads: tuple[str, ...], rate_hz: float, person: dict) -> Path:
    """Write float [lead, sample] millivolts, and half of them; see `tests/vendor_files/README.md`."""
    rows = [(factor * signal).astype(np.float32) for factor in (1.0, 0.5)]
    columns = {
        "mrn": [person["patient_id"]] * 2,
        "age": [float(person["age_years"])] * 2,
        "sex": [int(person["sex"] == "female")] * 2,
        "taken": [person["acquired"].isoformat()] * 2,
        "serial": [person["serial"]] * 2,
    }
    columns |= {lead: [row[index] for row in rows] for index, lead in enumerate(leads)}
    path = folder / "ecgs.arrow"
    table = pa.table(columns)
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    return path
