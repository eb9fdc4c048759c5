"""What is particular to SCP-ECG; `test_every_format` tries the rest."""

import importlib.util
import os
import struct
import time
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hemometric.ecg import LEADS, Recording, Rejected
from hemometric.vendors import find, read

FILE = Path(__file__).parents[2] / "vendor_files" / "scp_ecg.py"
SPEC = importlib.util.spec_from_file_location("scp_ecg_file", FILE)
assert SPEC is not None and SPEC.loader is not None
scp = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(scp)

PERSON = {
    "patient_id": "0042",
    "name": "Canaria^Quxabella",
    "birth_date": date(1951, 3, 29),
    "age_years": 68,
    "sex": "female",
    "acquired": datetime(2019, 11, 5, 13, 37, 59),
    "serial": "SN9",
    "note": "a note",
}
COUNTS = np.cumsum(np.random.default_rng(3).integers(-40, 41, (12, 300)), axis=1)
Parts = dict[int, bytes]
ReadParts = Callable[..., Recording | Rejected]


def parts(**changes: Any) -> Parts:
    """Make the sections of a record of `COUNTS`, as stored by an order of differences, in Huffman codes or without."""
    counts = changes.get("counts", COUNTS)
    order = changes.get("order", 2)
    differences = [scp.differences(row, order) for row in counts]
    made = scp.sections(counts * 2.5e-3, LEADS, 500.0, PERSON)
    made[6] = scp.of_signals([scp.huffman(row) for row in differences], 2500, 2000, order)
    if not changes.get("coded", True):
        del made[2]
        made[6] = scp.of_signals([row.astype("<i2").tobytes() for row in differences], 2500, 2000, order)
    return made


@pytest.fixture
def read_parts(tmp_path: Path) -> ReadParts:
    def one(made: Parts, **options: Any) -> Recording | Rejected:
        return read_bytes(tmp_path / "ecg.scp", scp.pack(made, **options))

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


@pytest.mark.parametrize("coded", [True, False])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_counts_come_back_as_they_were(read_parts: ReadParts, order: int, coded: bool) -> None:
    one = taken(read_parts(parts(order=order, coded=coded)))
    assert np.array_equal(one.counts, COUNTS)
    assert (one.gain_per_mv == 400.0).all()
    assert one.quantisation_error_mv == 0.0


@pytest.mark.parametrize("num_samples", [1, 2, 3])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_shortest_records_come_back(read_parts: ReadParts, order: int, num_samples: int) -> None:
    counts = COUNTS[:, -num_samples:]
    assert np.array_equal(taken(read_parts(parts(counts=counts, order=order))).counts, counts)


def test_the_range_of_16_bits_comes_back(read_parts: ReadParts) -> None:
    counts = np.tile([-32767, 32767, -32768, 0], (12, 5))
    one = taken(read_parts(parts(counts=counts, order=0)))
    assert np.abs(one.signal - counts * 2.5e-3).max() <= one.quantisation_error_mv + 1e-5
    assert one.quantisation_error_mv < 0.002  # -32768 is a sample here, and no mark for an absent one


def test_bimodal_compression_is_refused(read_parts: ReadParts) -> None:
    made = parts()
    made[6] = made[6][:5] + b"\x01" + made[6][6:]
    assert refused(read_parts(made)) == "unsupported"


def test_leads_are_named_by_their_codes_and_keep_their_places(read_parts: ReadParts) -> None:
    made = parts()
    made[3] = scp.of_leads([(1, 300, 2), (101, 400, 1), (1, 300, 9), *((1, 300, 20 + k) for k in range(9))])
    one = taken(read_parts(made))
    assert one.leads == ("II", "I")
    assert one.counts.shape == (2, 400)
    assert np.array_equal(one.counts[0, :300], COUNTS[0])
    assert np.array_equal(one.counts[1, 100:], COUNTS[1])
    assert np.isnan(one.signal[0, 300:]).all() and np.isnan(one.signal[1, :100]).all()


@pytest.mark.parametrize(
    ("leads", "reason"),
    [
        ([(1, 300, 1)] * 12, "duplicate_lead"),
        ([(1, 300, 30)] * 12, "no_standard_lead"),
        ([(1, 300, 1)], "no_waveform"),
        ([(1, 4_000_000, scp.CODES[lead]) for lead in LEADS], "too_long"),
        ([(1, 200_000, scp.CODES[lead]) for lead in LEADS], "truncated"),
        ([(1, 2**32 - 1, scp.CODES[lead]) for lead in LEADS], "too_long"),
        ([(0, 300, scp.CODES[lead]) for lead in LEADS], "unreadable"),
        ([(300, 1, scp.CODES[lead]) for lead in LEADS], "unreadable"),
    ],
)
def test_leads_that_cannot_be_read_are_refused(
    read_parts: ReadParts, leads: list[tuple[int, int, int]], reason: str
) -> None:
    made = parts()
    made[3] = scp.of_leads(leads)
    if reason == "no_waveform":
        del made[6]
    assert refused(read_parts(made)) == reason


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [(0, b"\0\0", "gain_zero"), (2, b"\0\0", "rate_missing"), (4, b"\x03", "unsupported"), (6, b"\0\0", "truncated")],
)
def test_numbers_of_the_rhythm_are_never_guessed(read_parts: ReadParts, place: int, value: bytes, reason: str) -> None:
    made = parts()
    made[6] = made[6][:place] + value + made[6][place + len(value) :]
    assert refused(read_parts(made)) == reason


def test_differences_that_leave_16_bits_are_refused(read_parts: ReadParts) -> None:
    made = parts()
    made[6] = scp.of_signals([scp.huffman(np.full(300, 32767))] * 12, 2500, 2000, 2)
    assert refused(read_parts(made)) == "unreadable"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([(4, struct.pack("<HB", 30, 2))], 2.5),
        ([(4, struct.pack("<HB", 1461, 4))], 4.0),
        ([(4, struct.pack("<HB", 67, 0))], None),
        ([(4, struct.pack("<HB", 300, 1))], None),
        ([(5, struct.pack("<HBB", 1960, 2, 29)), (25, struct.pack("<HBB", 2020, 2, 28))], 59.0),
        ([(5, struct.pack("<HBB", 0, 0, 0)), (25, struct.pack("<HBB", 2020, 2, 28))], None),
        (
            [
                (4, struct.pack("<HB", 0, 0)),
                (5, struct.pack("<HBB", 1960, 1, 1)),
                (25, struct.pack("<HBB", 2020, 1, 1)),
            ],
            60,
        ),
        ([(4, b"\x01")], None),
    ],
)
def test_ages(read_parts: ReadParts, fields: list[tuple[int, bytes]], expected: float | None) -> None:
    one = taken(read_parts(parts() | {1: scp.of_fields(fields)}))
    assert one.age_years == (expected if expected is None else pytest.approx(expected))
    assert one.patient_id is None and one.sex is None and one.acquired is None


def test_a_person_may_be_unknown(read_parts: ReadParts) -> None:
    made = parts()
    del made[1]
    assert taken(read_parts(made)).patient_id is None
    made[1] = scp.of_fields([(2, b""), (8, b"\x09"), (25, struct.pack("<HBB", 2020, 2, 30)), (26, b"\x19\0\0")])
    one = taken(read_parts(made))
    assert (one.patient_id, one.sex, one.acquired) == (None, None, None)
    made[1] = scp.of_fields([(2, b" 007 \0junk"), (2, b"second\0"), (8, b"\x01")])
    one = taken(read_parts(made))
    assert (one.patient_id, one.sex) == ("007", "male")
    made[1] = struct.pack("<BH", 2, 900) + b"007"
    assert refused(read_parts(made)) == "truncated"


def test_version_1_without_the_magic_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "ecg.bin"
    assert np.array_equal(taken(read_bytes(path, scp.pack(parts(), magic=b""))).counts, COUNTS)


def test_bytes_behind_the_record_are_left_alone(tmp_path: Path) -> None:
    assert np.array_equal(taken(read_bytes(tmp_path / "ecg.scp", scp.pack(parts()) + b"\0" * 99)).counts, COUNTS)


def test_a_section_with_another_checksum_is_refused(tmp_path: Path) -> None:
    content = bytearray(scp.pack(parts()))
    content[-1] ^= 1
    assert refused(read_bytes(tmp_path / "ecg.scp", bytes(content))) == "checksum"
    # The record's own checksum is right again, that of the rhythm is not.
    at = content.index(parts()[6]) + 100
    content[at] ^= 1
    struct.pack_into("<H", content, 0, scp.crc(content[2:]))
    result = read_bytes(tmp_path / "ecg.scp", bytes(content))
    assert refused(result) == "checksum"
    assert isinstance(result, Rejected) and "section 6" in result.detail


@pytest.mark.parametrize("made", [parts(), parts(coded=False)], ids=["codes", "raw"])
def test_flipped_bytes_behind_right_checksums(made: Parts, tmp_path: Path) -> None:
    short = {number: part for number, part in made.items() if number != 8}
    valid = scp.pack(short)
    draw = np.random.default_rng(9)
    reasons: set[str] = set()
    for _ in range(int(os.environ.get("HEMOMETRIC_MUTATIONS", "150")) // 10):
        content = bytearray(valid)
        end = len(content) if draw.random() < 0.3 else 700
        for _ in range(int(draw.integers(1, 4))):
            content[draw.integers(end)] = draw.integers(256)
        began = time.process_time()
        result = read_bytes(tmp_path / "ecg.scp", scp.repaired(content))
        assert time.process_time() - began < 5.0
        reasons.add(result.reason if isinstance(result, Rejected) else "taken")
    assert "checksum" not in reasons or len(reasons) > 1  # what lies behind the checksums was reached


@pytest.fixture
def vendor_data() -> Path:
    folder = os.environ.get("HEMOMETRIC_DATA")
    if not folder:
        pytest.fail("HEMOMETRIC_DATA is not set: give the folder that holds vendor/scp-ecg and vendor/hl7-aecg")
    return Path(folder) / "vendor"


@pytest.mark.data
def test_a_real_file_holds_the_samples_of_the_same_tracing_as_annotated_ecg(vendor_data: Path) -> None:
    """One tracing in two formats, 2.5 microvolts a digit in both: every sample is the same."""
    (source,) = find([vendor_data / "scp-ecg" / "Example.scp"])
    one = taken(read(source))
    assert (one.rate_hz, one.sex, one.age_years) == (500.0, "male", 49.0)
    assert one.acquired == datetime(2002, 11, 22, 9, 10)
    (source,) = find([vendor_data / "hl7-aecg" / "Example aECG.xml"])
    other = taken(read(source))
    order = [other.leads.index(lead) for lead in one.leads]
    assert set(one.leads) == set(LEADS)
    assert np.array_equal(one.counts, other.counts[order])
    assert np.allclose(one.gain_per_mv, other.gain_per_mv[order], rtol=1e-12)
    assert np.allclose(other.offset_counts, 0.0)
    assert (one.patient_id, one.acquired, one.sex) == (other.patient_id, other.acquired, other.sex)
