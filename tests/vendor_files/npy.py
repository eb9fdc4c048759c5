"""A NumPy file [ecg, lead, sample] of float32 millivolts, written by hand from the specification of NEP 1."""

import struct
from pathlib import Path

import numpy as np

from hemometric.vendors import Vendor
from hemometric.vendors.npy_format import NpyConfig

QUANTISATION_MV = 0.0005
STORED = ()
ITEMS = 2


def configured() -> Vendor:
    """Give the reader for this file."""
    return NpyConfig(rate_hz=500, unit="mV", axes=("ecg", "lead", "sample")).build()


def write(folder: Path, signal: np.ndarray, leads: tuple[str, ...], rate_hz: float, person: dict) -> Path:
    """Write float [lead, sample] millivolts, and half of them; see `tests/vendor_files/README.md`."""
    values = np.stack([signal, signal / 2]).astype("<f4")
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {values.shape}, }}"
    header = header.ljust(128 - 11) + "\n"
    path = folder / "ecgs.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + values.tobytes())
    return path
