"""A WFDB record in format 16, 200 counts a millivolt, written by hand."""

from pathlib import Path

import numpy as np

QUANTISATION_MV = 0.5 / 200
STORED = ("patient_id", "age_years", "sex", "acquired")


def write(folder: Path, signal: np.ndarray, leads: tuple[str, ...], rate_hz: float, person: dict) -> Path:
    """Write float [lead, sample] millivolts as one file; see `tests/vendor_files/README.md`."""
    counts = np.where(np.isnan(signal), -32768, np.rint(np.nan_to_num(signal) * 200)).astype("<i2")  # that is no sample
    (folder / "ecg.dat").write_bytes(np.ascontiguousarray(counts.T).tobytes())
    lines = [f"ecg {len(leads)} {rate_hz:g} {counts.shape[1]} {person['acquired']:%H:%M:%S %d/%m/%Y}"]
    for lead, row in zip(leads, counts, strict=True):
        checksum = (int(row.sum(dtype=np.int64)) + 32768) % 65536 - 32768
        lines.append(f"ecg.dat 16 200(0)/mV 16 0 {row[0]} {checksum} 0 {lead}")
    lines += [f"# Age: {person['age_years']}", f"# Sex: {person['sex']}", f"# Patient ID: {person['patient_id']}"]
    lines += [f"# Name: {person['name']}", f"# Born: {person['birth_date']:%d.%m.%Y}", f"# Note: {person['note']}"]
    header = folder / "ecg.hea"
    header.write_text("\n".join(lines) + "\n")
    return header
