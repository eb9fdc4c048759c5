"""A reference beat that was subtracted from an SCP-ECG record, and is added again."""

import importlib.util
import os
import struct
import time
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest

from hemometric.ecg import LEADS, Recording, Rejected
from hemometric.vendors import find, read

FILE = Path(__file__).parents[2] / "vendor_files" / "scp_ecg.py"
SPEC = importlib.util.spec_from_file_location("scp_ecg_file", FILE)
assert SPEC is not None and SPEC.loader is not None
scp = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(scp)

COUNTS = np.cumsum(np.random.default_rng(3).integers(-40, 41, (12, 300)), axis=1)
BEAT = np.outer(np.arange(1, 13), np.rint(30 * np.hanning(40))).astype(int)  # [lead, sample], the fiducial is the 15th
Zone = tuple[int, int, int, int]  # type, first sample, fiducial, last sample; counted from 1
ZONES: list[Zone] = [(0, 1, 12, 30), (1, 90, 100, 110), (0, 150, 160, 180), (0, 290, 295, 300)]
Parts = dict[int, bytes]
ReadParts = Callable[[Parts], Recording | Rejected]


def subtracted(zones: Sequence[Zone], of_beat: int = 1, of_rhythm: int = 1) -> Parts:
    """Write `COUNTS` less `BEAT` in each zone of type 0; a count is 1000 nV times what each is divided by."""
    rhythm = COUNTS * of_rhythm
    for kind, first, fiducial, last in zones:
        if kind == 0:
            start = 14 - (fiducial - first)
            rhythm[:, first - 1 : last] -= BEAT[:, start : start + last - first + 1] * of_beat
    return {
        2: struct.pack("<H", 19999),
        3: scp.of_leads([(1, COUNTS.shape[1], scp.CODES[lead]) for lead in LEADS], flags=0x05),
        4: of_zones(zones),
        5: scp.of_signals([scp.huffman(scp.differences(row, 1)) for row in BEAT], 1000 * of_beat, 2000, 1),
        6: scp.of_signals([scp.huffman(scp.differences(row, 2)) for row in rhythm], 1000, 2000, 2),
    }


def of_zones(zones: Sequence[Zone], length_ms: int = 80) -> bytes:
    listed = b"".join(struct.pack("<HIII", *zone) for zone in zones)
    return struct.pack("<HHH", length_ms, 15, len(zones)) + listed + bytes(8 * len(zones))


@pytest.fixture
def read_parts(tmp_path: Path) -> ReadParts:
    def one(parts: Parts) -> Recording | Rejected:
        return read_bytes(tmp_path / "ecg.scp", scp.pack(parts))

    return one


def read_bytes(path: Path, content: bytes) -> Recording | Rejected:
    path.write_bytes(content)
    (source,) = find([path])
    return read(source)


def refused(result: Recording | Rejected) -> str:
    assert isinstance(result, Rejected), result
    return result.reason


def taken(result: Recording | Rejected) -> Recording:
    assert isinstance(result, Recording), result
    return result


@pytest.mark.parametrize(("of_beat", "of_rhythm"), [(1, 1), (5, 1), (5, 3)])
def test_the_reference_beat_is_added_again(read_parts: ReadParts, of_beat: int, of_rhythm: int) -> None:
    one = taken(read_parts(subtracted(ZONES, of_beat, of_rhythm)))
    assert np.array_equal(one.counts, COUNTS * of_rhythm)
    assert (one.gain_per_mv == 1000.0).all()


def test_counts_of_two_sizes_are_kept_in_what_they_have_in_common(read_parts: ReadParts) -> None:
    parts = subtracted([])
    parts[4] = of_zones([(0, 1, 15, 40)])
    parts[5] = scp.of_signals([scp.huffman(row) for row in BEAT], 3000, 2000, 0)
    parts[6] = scp.of_signals([scp.huffman(row) for row in COUNTS], 2000, 2000, 0)
    expected = COUNTS * 2
    expected[:, :40] += BEAT * 3
    one = taken(read_parts(parts))
    assert np.array_equal(one.counts, expected)
    assert (one.gain_per_mv == 1000.0).all()
    assert one.quantisation_error_mv == 0.0


def test_a_sum_beyond_16_bits_names_its_error(read_parts: ReadParts) -> None:
    parts = subtracted([])
    parts[4] = of_zones([(0, 1, 15, 40)])
    parts[5] = scp.of_signals([scp.huffman(np.full(40, 32000))] * 12, 1000, 2000, 0)
    parts[6] = scp.of_signals([scp.huffman(np.tile([32000, -32000], 150))] * 12, 1000, 2000, 0)
    one = taken(read_parts(parts))
    expected = np.tile([32.0, -32.0], 150)
    expected[:40] += 32.0
    assert 0 < one.quantisation_error_mv < 0.001
    assert np.abs(one.signal - expected).max() <= one.quantisation_error_mv + 1e-5


def test_a_beat_that_is_not_said_to_be_subtracted_is_not_added(read_parts: ReadParts) -> None:
    parts = subtracted([])
    parts[3] = parts[3][:1] + b"\x04" + parts[3][2:]
    parts[4] = of_zones(ZONES)
    assert np.array_equal(taken(read_parts(parts)).counts, COUNTS)


def test_leads_that_begin_later_meet_the_beat_at_the_same_time(read_parts: ReadParts) -> None:
    parts = subtracted([])
    parts[3] = scp.of_leads([(101, 400, scp.CODES[lead]) for lead in LEADS], flags=0x05)
    parts[4] = of_zones([(0, 111, 125, 150)])
    expected = COUNTS.copy()
    expected[:, 10:50] += BEAT
    assert np.array_equal(taken(read_parts(parts)).counts, expected)


@pytest.mark.parametrize(
    "zones",
    [
        [(0, 0, 14, 39)],
        [(0, 290, 304, 301)],
        [(0, 30, 12, 1)],
        [(0, 1, 40, 5)],
        [(0, 1, 2, 39)],
        [(0, 1, 15, 2**32 - 1)],
        [(0, 1, 15, 40)] * 8,
    ],
)
def test_zones_that_leave_the_record_or_the_beat_or_overlap_are_refused(
    read_parts: ReadParts, zones: list[Zone]
) -> None:
    assert refused(read_parts(subtracted([]) | {4: of_zones(zones)})) == "unreadable"


@pytest.mark.parametrize(
    ("number", "part", "reason"),
    [
        (4, of_zones(ZONES[:1], length_ms=0), "unreadable"),
        (4, of_zones(ZONES[:1], length_ms=60), "unreadable"),
        (4, of_zones(ZONES[:1], length_ms=9000), "truncated"),
        (4, of_zones(ZONES[:1])[:16], "truncated"),
        (4, b"\x50\0", "truncated"),
        (5, scp.of_signals([b"\0\0"] * 12, 1000, 4000, 1), "unsupported"),
        (5, scp.of_signals([b"\0" * 10] * 12, 0, 2000, 1), "gain_zero"),
        (5, scp.of_signals([b"\0" * 4] * 12, 1000, 2000, 1), "truncated"),
        (5, b"\0" * 20, "truncated"),
        (4, b"", "unreadable"),
        (5, b"", "unreadable"),
    ],
)
def test_a_beat_that_cannot_be_added_is_refused(read_parts: ReadParts, number: int, part: bytes, reason: str) -> None:
    parts = subtracted(ZONES) | {number: part}
    assert refused(read_parts({number: part for number, part in parts.items() if part})) == reason


def test_flipped_bytes_behind_right_checksums(tmp_path: Path) -> None:
    person = {"patient_id": "1", "name": "a^b", "birth_date": date(1951, 3, 29), "age_years": 68, "sex": "female"}
    person |= {"acquired": datetime(2019, 11, 5), "serial": "S", "note": ""}
    valid = scp.pack(subtracted(ZONES, 5, 3) | {1: scp.of_person(person)})
    draw = np.random.default_rng(9)
    reasons = set()
    for _ in range(int(os.environ.get("HEMOMETRIC_MUTATIONS", "150")) // 5):
        content = bytearray(valid)
        end = len(content) if draw.random() < 0.3 else 900
        for _ in range(int(draw.integers(1, 4))):
            content[draw.integers(end)] = draw.integers(256)
        began = time.process_time()
        result = read_bytes(tmp_path / "ecg.scp", scp.repaired(content))
        assert time.process_time() - began < 5.0
        reasons.add(result.reason if isinstance(result, Rejected) else "taken")
    assert len(reasons - {"checksum"}) > 1, "what lies behind the checksums was not reached"
