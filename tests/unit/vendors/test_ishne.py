"""What is particular to ISHNE; `test_every_format` tries the rest."""

import importlib.util
import os
import struct
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hemometric.ecg import LEADS, Recording, Rejected
from hemometric.vendors import find, read
from hemometric.vendors.source import MAX_VALUES
from hemometric.waveform import limb_lead_residuals, standard_leads

FILE = Path(__file__).parents[2] / "vendor_files" / "ishne.py"
SPEC = importlib.util.spec_from_file_location("ishne_file", FILE)
assert SPEC is not None and SPEC.loader is not None
ishne = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(ishne)

PERSON = {
    "patient_id": "0042",
    "name": "Canaria^Quxabella",
    "birth_date": date(1951, 11, 6),
    "age_years": 67,
    "sex": "male",
    "acquired": datetime(2019, 11, 5, 23, 59, 58),
    "serial": "SN9",
    "note": "a note",
}
COUNTS = np.random.default_rng(4).integers(-2000, 2000, (3, 100))
ReadBytes = Callable[[bytes], Recording | Rejected]


def content(counts: np.ndarray = COUNTS, codes: tuple[int, ...] = (6, 5, 11), **changes: Any) -> bytes:
    made: bytes = ishne.pack(counts, list(codes), changes.pop("rate_hz", 200), PERSON, **changes)
    return made


@pytest.fixture
def read_bytes(tmp_path: Path) -> ReadBytes:
    def one(made: bytes) -> Recording | Rejected:
        path = tmp_path / "ecg.ecg"
        path.write_bytes(made)
        (source,) = find([path])
        return read(source)

    return one


def taken(result: Recording | Rejected) -> Recording:
    assert isinstance(result, Recording), result
    return result


def refused(result: Recording | Rejected) -> str:
    assert isinstance(result, Rejected), result
    return result.reason


def test_leads_are_named_by_their_codes(read_bytes: ReadBytes) -> None:
    one = taken(read_bytes(content(nanovolts=[2500, 5000, 1000])))
    assert one.leads == ("II", "I", "V1")
    assert np.array_equal(one.counts, COUNTS)
    assert one.gain_per_mv.tolist() == [400.0, 200.0, 1000.0]
    assert (one.rate_hz, one.age_years, one.sex, one.patient_id) == (200.0, 67.0, "male", "0042")
    assert one.acquired == PERSON["acquired"]


def test_other_leads_are_left_out(read_bytes: ReadBytes) -> None:
    one = taken(read_bytes(content(codes=(17, 2, 16), nanovolts=[0, -9, 2500])))  # ES and X have no gain, nor need one
    assert one.leads == ("V6",)
    assert np.array_equal(one.counts, COUNTS[2:])


def test_a_missing_sample_is_missing(read_bytes: ReadBytes) -> None:
    counts = COUNTS.copy()
    counts[1, 7] = -32768
    signal = taken(read_bytes(content(counts))).signal
    assert np.isnan(signal[1, 7]) and np.isnan(signal).sum() == 1


@pytest.mark.parametrize("num_samples", [100, 300])
def test_samples_are_announced_of_one_lead_or_of_all(read_bytes: ReadBytes, num_samples: int) -> None:
    assert np.array_equal(taken(read_bytes(content(num_samples=num_samples))).counts, COUNTS)


@pytest.mark.parametrize("num_samples", [-9, 0, 101, 299, 301, 2**31 - 1])
def test_samples_that_are_not_there_are_missed(read_bytes: ReadBytes, num_samples: int) -> None:
    assert refused(read_bytes(content(num_samples=num_samples))) == "truncated"


def test_samples_beyond_the_announced_ones_are_left_alone(read_bytes: ReadBytes) -> None:
    assert np.array_equal(taken(read_bytes(content(num_samples=90))).counts, COUNTS[:, :90])


def test_a_day_of_twelve_leads_is_too_long_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "day.ecg"
    num_samples = MAX_VALUES // 12 + 1
    path.write_bytes(content(COUNTS.repeat(4, axis=0), tuple(range(5, 17)), num_samples=num_samples))
    os.truncate(path, 2**32)  # a sparse file
    (source,) = find([path])
    assert refused(read(source)) == "too_long"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"codes": (5, 6, 5)}, "duplicate_lead"),
        ({"codes": (0, 1, 17)}, "no_standard_lead"),
        ({"nanovolts": [2500, 0, 2500]}, "gain_zero"),
        ({"nanovolts": [2500, -9, 2500]}, "gain_negative"),
        ({"rate_hz": 0}, "rate_missing"),
        ({"rate_hz": -9}, "rate_missing"),
        ({"samples_at": 522}, "unreadable"),
        ({"samples_at": -1}, "unreadable"),
        ({"variable": bytes((1 << 20) + 1)}, "too_long"),
        ({"counts": COUNTS[:0], "codes": ()}, "unreadable"),
    ],
)
def test_headers_that_cannot_be_read_are_refused(read_bytes: ReadBytes, changes: dict[str, Any], reason: str) -> None:
    assert refused(read_bytes(content(**changes))) == reason


@pytest.mark.parametrize("place", [9, 40, 110, 300, 521, 524])
def test_a_header_with_another_checksum_is_refused(read_bytes: ReadBytes, place: int) -> None:
    made = bytearray(content())
    made[place] ^= 4
    assert refused(read_bytes(bytes(made))) == "checksum"


def test_dates_that_are_not_known(read_bytes: ReadBytes) -> None:
    made = bytearray(content(variable=b""))
    struct.pack_into("<3h", made, 132, -9, -9, -9)
    struct.pack_into("<H", made, 8, ishne.crc(bytes(made[10:522])))
    one = taken(read_bytes(bytes(made)))
    assert one.age_years is None
    assert one.acquired == PERSON["acquired"]
    struct.pack_into("<3h", made, 138, 31, 2, 2019)
    struct.pack_into("<20s", made, 108, b"")
    struct.pack_into("<h", made, 128, 0)
    struct.pack_into("<H", made, 8, ishne.crc(bytes(made[10:522])))
    one = taken(read_bytes(bytes(made)))
    assert (one.acquired, one.patient_id, one.sex) == (None, None, None)


@pytest.mark.data
def test_a_real_file_against_its_published_layout() -> None:
    folder = os.environ.get("HEMOMETRIC_DATA")
    if not folder:
        pytest.fail("HEMOMETRIC_DATA is not set: give the folder that holds vendor/ishne")
    path = Path(folder) / "vendor" / "ishne" / "ECG_P28.01.ecg"
    (source,) = find([path])
    one = taken(read(source))
    assert (one.leads, one.rate_hz, one.num_samples) == (LEADS, 1000.0, 95573)
    assert (one.gain_per_mv == 200.0).all()
    assert np.array_equal(one.counts, np.memmap(path, "<i2", "r", offset=522).reshape(-1, 12).T)
    assert (one.age_years, one.sex, one.acquired) == (None, None, datetime(2000, 1, 1, 7))
    signal, _ = standard_leads(one.signal, one.leads)
    # The limb leads are those of their names: each is the sum that it must be, to half a count.
    assert max(limb_lead_residuals(signal).values()) <= 0.0026
    assert 0.5 < np.abs(signal).max() < 5.0
