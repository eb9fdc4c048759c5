"""An ISHNE 1.0 file, 2500 nV a count, with a variable block, written from the published layout."""

import struct
from pathlib import Path

import numpy as np

NANOVOLTS = 2500
QUANTISATION_MV = NANOVOLTS / 2 / 1e6
STORED = ("patient_id", "age_years", "sex", "acquired")
CHECKED = False  # only the header has a checksum
CODES = {"I": 5, "II": 6, "III": 7, "aVR": 8, "aVL": 9, "aVF": 10} | {
    f"V{number}": 10 + number for number in range(1, 7)
}


def write(folder: Path, signal: np.ndarray, leads: tuple[str, ...], rate_hz: float, person: dict) -> Path:
    """Write float [lead, sample] millivolts as one file; see `tests/vendor_files/README.md`."""
    counts = np.rint(signal * 1e6 / NANOVOLTS).astype("<i2")
    path = folder / "ecg.ecg"
    path.write_bytes(pack(counts, [CODES[lead] for lead in leads], rate_hz, person))
    return path


def pack(counts: np.ndarray, codes: list[int], rate_hz: float, person: dict, **changes) -> bytes:
    """Put header and samples [lead, sample] together.

    Changes: `num_samples` as announced, `samples_at`, `nanovolts` of each lead, `variable` block.
    """
    num_leads, num_samples = counts.shape
    variable = changes.get("variable", person["note"].encode())
    last, first = person["name"].split("^")
    born, acquired = person["birth_date"], person["acquired"]
    nanovolts = changes.get("nanovolts", [NANOVOLTS] * num_leads)
    header = struct.pack("<ii", len(variable), changes.get("num_samples", num_samples))
    header += struct.pack("<ii", 522, changes.get("samples_at", 522 + len(variable)))
    header += struct.pack("<h40s40s20s", 1, first.encode(), last.encode(), person["patient_id"].encode())
    header += struct.pack("<hh", {"male": 1, "female": 2}[person["sex"]], 0)
    header += struct.pack("<3h", born.day, born.month, born.year)
    header += struct.pack("<3h", acquired.day, acquired.month, acquired.year) * 2
    header += struct.pack("<3h", acquired.hour, acquired.minute, acquired.second)
    header += struct.pack("<h", num_leads)
    for values in (codes, [0] * num_leads, nanovolts):
        header += struct.pack("<12h", *values, *[-9] * (12 - num_leads))
    header += struct.pack("<h40sh", 0, person["serial"].encode(), int(rate_hz))
    header += person["note"].encode().ljust(80, b"\0") + bytes(80 + 88) + variable
    return (
        b"ISHNE1.0" + struct.pack("<H", crc(header)) + header + np.ascontiguousarray(counts.T).astype("<i2").tobytes()
    )


def crc(content: bytes) -> int:
    """CRC-CCITT: x^16 + x^12 + x^5 + 1 from all ones, bit by bit."""
    value = 0xFFFF
    for byte in content:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ (0x1021 if value & 0x8000 else 0)) & 0xFFFF
    return value
