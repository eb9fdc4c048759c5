"""An SCP-ECG record of version 2, second differences in the standard's Huffman code, written from EN 1064."""

import struct
from pathlib import Path

import numpy as np

NANOVOLTS = 2500
QUANTISATION_MV = NANOVOLTS / 2 / 1e6
STORED = ("patient_id", "age_years", "sex", "acquired")
CODES = {"I": 1, "II": 2, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64} | {
    f"V{number}": 2 + number for number in range(1, 7)
}


def write(folder: Path, signal: np.ndarray, leads: tuple[str, ...], rate_hz: float, person: dict) -> Path:
    """Write float [lead, sample] millivolts as one file; see `tests/vendor_files/README.md`."""
    path = folder / "ecg.scp"
    path.write_bytes(pack(sections(signal, leads, rate_hz, person)))
    return path


def sections(signal: np.ndarray, leads: tuple[str, ...], rate_hz: float, person: dict) -> dict[int, bytes]:
    """Make the data parts of the sections, to be changed by a test before they are packed."""
    counts = np.rint(signal * 1e6 / NANOVOLTS).astype(int)
    streams = [huffman(differences(row, 2)) for row in counts]
    return {
        1: of_person(person),
        2: struct.pack("<H", 19999),
        3: of_leads([(1, counts.shape[1], CODES[lead]) for lead in leads]),
        6: of_signals(streams, NANOVOLTS, round(1e6 / rate_hz), 2),
        8: struct.pack("<BHBB3B", 0, 2019, 11, 5, 13, 37, 59) + person["note"].encode(),
    }


def pack(parts: dict[int, bytes], magic: bytes = b"SCPECG") -> bytes:
    """Put sections 0 to 11 after each other, with headers and checksums."""
    numbers = range(12)
    body, pointers = b"", b""
    first = 6 + 16 + 10 * len(numbers) + 1  # places are counted from 1
    for number in numbers[1:]:
        part = _with_header(number, parts[number]) if number in parts else b""
        pointers += struct.pack("<HII", number, len(part), first + len(body) if part else 0)
        body += part
    pointers = struct.pack("<HII", 0, 16 + 10 * len(numbers), 7) + pointers
    content = _with_header(0, pointers, magic) + body
    content = struct.pack("<I", 6 + len(content)) + content
    return struct.pack("<H", crc(content)) + content


def _with_header(number: int, part: bytes, reserved: bytes = bytes(6)) -> bytes:
    part += bytes(len(part) % 2)
    section = struct.pack("<HIBB", number, 16 + len(part), 20, 20) + reserved.ljust(6, b"\0") + part
    return struct.pack("<H", crc(section)) + section


def crc(content: bytes) -> int:
    """CRC-CCITT: x^16 + x^12 + x^5 + 1 from all ones, bit by bit."""
    value = 0xFFFF
    for byte in content:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ (0x1021 if value & 0x8000 else 0)) & 0xFFFF
    return value


def of_person(person: dict) -> bytes:
    born, acquired = person["birth_date"], person["acquired"]
    last, first = person["name"].split("^")
    fields = [
        (0, last.encode() + b"\0"),
        (1, first.encode() + b"\0"),
        (2, person["patient_id"].encode() + b"\0"),
        (4, struct.pack("<HB", person["age_years"], 1)),
        (5, struct.pack("<HBB", born.year, born.month, born.day)),
        (8, {"male": b"\x01", "female": b"\x02"}[person["sex"]]),
        (14, bytes(36) + b"1.0\0" + person["serial"].encode() + b"\0\0\0\0"),
        (25, struct.pack("<HBB", acquired.year, acquired.month, acquired.day)),
        (26, bytes((acquired.hour, acquired.minute, acquired.second))),
        (30, person["note"].encode() + b"\0"),
    ]
    return of_fields(fields)


def of_fields(fields: list[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack("<BH", tag, len(value)) + value for tag, value in fields) + b"\xff\0\0"


def of_leads(leads: list[tuple[int, int, int]], flags: int = 0x04) -> bytes:
    """Write (first sample, last sample, code) of each lead, samples counted from 1; flag 1: beats were subtracted."""
    return struct.pack("<BB", len(leads), flags) + b"".join(struct.pack("<IIB", *lead) for lead in leads)


def of_signals(streams: list[bytes], nanovolts: int, interval_us: int, order: int, bimodal: int = 0) -> bytes:
    sizes = struct.pack(f"<{len(streams)}H", *(len(stream) for stream in streams))
    return struct.pack("<HHBB", nanovolts, interval_us, order, bimodal) + sizes + b"".join(streams)


def differences(counts: np.ndarray, order: int) -> np.ndarray:
    """Take first or second differences; the first, or the first two, samples stay themselves."""
    return np.concatenate([counts[:order], np.diff(counts, order)]) if order else counts


def huffman(values: np.ndarray) -> bytes:
    """Code numbers by the standard's own table."""
    return from_bits("".join(_code(int(value)) for value in values))


def from_bits(bits: str) -> bytes:
    bits += "0" * (-len(bits) % 16)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _code(value: int) -> str:
    size = abs(value)
    if size == 0:
        return "0"
    if size <= 8:
        return "1" * size + "0" + ("1" if value < 0 else "0")
    if -128 <= value <= 127:
        return "1111111110" + f"{value & 0xFF:08b}"
    return "1111111111" + f"{value & 0xFFFF:016b}"


def repaired(content: bytearray) -> bytes:
    """Set all checksums that the list of sections leads to, so that a test reaches what lies behind them."""
    for place in range(22, 142, 10):
        _, size, index = struct.unpack_from("<HII", content, place)
        if size >= 16 and index >= 7 and index - 1 + size <= len(content):
            struct.pack_into("<H", content, index - 1, crc(content[index + 1 : index - 1 + size]))
    struct.pack_into("<H", content, 0, crc(content[2:]))
    return bytes(content)
