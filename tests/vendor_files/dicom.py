"""A 12-lead ECG object of DICOM: 16 bits, 2.5 microvolts a count, and a median beat behind the rhythm."""

import struct
from pathlib import Path

import numpy as np

QUANTISATION_MV = 0.0025 / 2
STORED = ("patient_id", "age_years", "sex", "acquired")

_LONG = {b"OB", b"OW", b"SQ", b"UT"}
_CODES = {"I": 1, "II": 2, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64} | {f"V{v}": 2 + v for v in range(1, 7)}


def element(tag: int, representation: str, value: bytes | str | int | list[bytes]) -> bytes:
    """Encode one data element; a list is the contents of the items of a sequence."""
    if isinstance(value, list):
        value = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in value)
    elif isinstance(value, int):
        value = struct.pack("<H" if representation == "US" else "<I", value)
    elif isinstance(value, str):
        value = value.encode()
        value += (b"\0" if representation == "UI" else b" ") * (len(value) % 2)
    code = representation.encode()
    length = struct.pack("<2xI" if code in _LONG else "<H", len(value))
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + code + length + value


def code(value: str, scheme: str, meaning: str) -> bytes:
    """Encode the item of a code sequence."""
    return element(0x00080100, "SH", value) + element(0x00080102, "SH", scheme) + element(0x00080104, "LO", meaning)


def channel(lead: str, source: bytes | None = None, scale: bytes | None = None, rest: bytes = b"") -> bytes:
    """Encode the item of one channel; by default with a code of MDC and 2.5 microvolts a count."""
    source = code(f"2:{_CODES[lead]}", "MDC", f"Lead {lead}") if source is None else source
    return element(0x003A0208, "SQ", [source]) + (sensitivity() if scale is None else scale) + rest


def sensitivity(value: str = "2.5", unit: str = "uV", correction: str = "1", baseline: str = "0") -> bytes:
    """Encode the scale of a channel."""
    units = element(0x003A0211, "SQ", [code(unit, "UCUM", "unit")])
    scale = element(0x003A0210, "DS", value) + units
    return scale + element(0x003A0212, "DS", correction) + element(0x003A0213, "DS", baseline)


def group(
    counts: np.ndarray,
    rate_hz: float,
    channels: list[bytes],
    originality: str = "ORIGINAL",
    label: str = "RHYTHM",
    interpretation: str = "SS",
    padding: bytes = b"",
) -> bytes:
    """Encode the item of a multiplex group from int [sample, channel]."""
    num_samples, num_channels = counts.shape
    return b"".join(
        [
            element(0x003A0004, "CS", originality),
            element(0x003A0005, "US", num_channels),
            element(0x003A0010, "UL", num_samples),
            element(0x003A001A, "DS", f"{rate_hz:g}"),
            element(0x003A0020, "SH", label),
            element(0x003A0200, "SQ", channels),
            element(0x54001004, "US", 8 * counts.itemsize),
            element(0x54001006, "CS", interpretation),
            element(0x5400100A, "OW", padding) if padding else b"",
            element(0x54001010, "OW", counts.tobytes() + bytes(counts.nbytes % 2)),
        ]
    )


def file(body: bytes, syntax: str = "1.2.840.10008.1.2.1") -> bytes:
    """Put preamble and meta information before the elements of a file."""
    rest = element(0x00020010, "UI", syntax)
    return bytes(128) + b"DICM" + element(0x00020000, "UL", len(rest)) + rest + body


def head(person: dict) -> bytes:
    """Encode what is said of the person."""
    return b"".join(
        [
            element(0x00080005, "CS", "ISO_IR 100"),
            element(0x0008002A, "DT", f"{person['acquired']:%Y%m%d%H%M%S}"),
            element(0x00081048, "PN", person["name"]),
            element(0x00100010, "PN", person["name"]),
            element(0x00100020, "LO", person["patient_id"]),
            element(0x00100030, "DA", f"{person['birth_date']:%Y%m%d}"),
            element(0x00100040, "CS", person["sex"][0].upper()),
            element(0x00101010, "AS", f"{person['age_years']:03d}Y"),
            element(0x00104000, "LT", person["note"]),
            element(0x00181000, "LO", person["serial"]),
        ]
    )


def write(folder: Path, signal: np.ndarray, leads: tuple[str, ...], rate_hz: float, person: dict) -> Path:
    """Write float [lead, sample] millivolts as one file; see `tests/vendor_files/README.md`."""
    counts = np.rint(signal.T / 0.0025).astype("<i2")
    channels = [channel(lead) for lead in leads]
    median = group(counts[: int(rate_hz)], rate_hz, channels, originality="DERIVED", label="MEDIAN BEAT")
    body = head(person) + element(0x54000100, "SQ", [group(counts, rate_hz, channels), median])
    path = folder / "ecg.dcm"
    path.write_bytes(file(body))
    return path
