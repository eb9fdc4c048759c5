"""NumPy's files: shapes and types, arrays of one's own names, and nothing that is pickled."""

import io
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from hemometric.ecg import LEADS, Recording, Rejected
from hemometric.vendors import find, read_all
from hemometric.vendors.npy_format import NpyConfig
from hemometric.waveform import limb_lead_residuals


def ecg(num_samples: int = 300) -> np.ndarray:
    """Float [lead, sample] mV."""
    return np.random.default_rng(8).uniform(-1, 1, (12, num_samples))


def read_file(path: Path, **fields: Any) -> list[Recording | Rejected]:
    vendors = (NpyConfig(**{"rate_hz": 500, "unit": "mV"} | fields).build(),)
    return list(read_all(list(find([path], vendors)), vendors))


def read_array(folder: Path, array: np.ndarray, **fields: Any) -> list[Recording | Rejected]:
    np.save(folder / "a.npy", array)
    return read_file(folder / "a.npy", **fields)


def reasons(found: Sequence[Recording | Rejected]) -> list[str]:
    assert not [one for one in found if isinstance(one, Rejected) and "/tmp" in one.detail]
    return [one.reason if isinstance(one, Rejected) else "read" for one in found]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axes", [("lead", "sample"), ("sample", "lead")])
def test_one_ecg_in_either_order(axes: tuple[str, str], order: str, tmp_path: Path) -> None:
    array = ecg() if axes[0] == "lead" else ecg().T
    (one,) = read_array(tmp_path, np.asarray(array, order=order), axes=axes)  # type: ignore[call-overload]
    assert isinstance(one, Recording)
    assert (one.key, one.leads, one.rate_hz) == (f"{tmp_path.name}/a.npy", LEADS, 500.0)
    assert np.abs(one.signal - ecg()).max() <= one.quantisation_error_mv + 1e-6


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axes", [("ecg", "lead", "sample"), ("sample", "ecg", "lead"), ("lead", "sample", "ecg")])
def test_several_ecgs_along_any_axis(axes: tuple[str, ...], order: str, tmp_path: Path) -> None:
    array = np.stack([ecg() * factor for factor in (1.0, 0.5, 0.25)])
    array = array.transpose([("ecg", "lead", "sample").index(axis) for axis in axes])
    found = read_array(tmp_path, np.asarray(array, order=order), axes=axes)  # type: ignore[call-overload]
    assert [one.key for one in found] == [f"{tmp_path.name}/a.npy/{place}" for place in range(3)]
    for one, factor in zip(found, (1.0, 0.5, 0.25), strict=True):
        assert isinstance(one, Recording)
        assert np.abs(one.signal - factor * ecg()).max() < 1e-4


@pytest.mark.parametrize("kind", ["int8", "<i2", ">i2", "uint16", "int32", ">i8", "uint64"])
def test_whole_numbers_are_native_counts(kind: str, tmp_path: Path) -> None:
    counts = np.rint(ecg() * 100).astype(int) + (0 if np.dtype(kind).kind == "i" else 1000)
    (one,) = read_array(tmp_path, counts.astype(kind), unit="uV", counts_per_unit=0.2)
    assert isinstance(one, Recording)
    assert one.quantisation_error_mv == 0.0
    assert one.gain_per_mv.tolist() == [200.0] * 12
    assert np.array_equal(one.counts - one.offset_counts[:, None], counts)


def test_int16s_lowest_is_no_sample_and_wide_counts_are_brought_into_int16(tmp_path: Path) -> None:
    counts = np.rint(ecg() * 100).astype(np.int16)
    counts[3, 5] = -32768
    (one,) = read_array(tmp_path, counts)
    assert isinstance(one, Recording)
    assert np.argwhere(np.isnan(one.signal)).tolist() == [[3, 5]]
    nanovolts = np.rint(ecg() * 1_000_000).astype(np.int32)
    (one,) = read_array(tmp_path, nanovolts, unit="nV")
    assert isinstance(one, Recording)
    assert 0 < one.quantisation_error_mv < 2e-5
    assert np.abs(one.signal - nanovolts / 1e6).max() <= one.quantisation_error_mv + 1e-7
    assert reasons(read_array(tmp_path, np.full((12, 9), 1 << 40))) == ["unreadable"]


@pytest.mark.parametrize(
    ("array", "fields", "reason"),
    [
        (np.zeros((8, 300)), {}, "unsupported"),
        (np.zeros((300, 12)), {}, "unsupported"),
        (np.zeros((2, 12, 300)), {}, "unsupported"),
        (np.zeros((12, 300)), {"axes": ("ecg", "lead", "sample")}, "unsupported"),
        (np.zeros((12, 0)), {}, "truncated"),
        (np.array(3.0), {}, "unsupported"),
        (np.zeros((0, 12, 300)), {"axes": ("ecg", "lead", "sample")}, "no_waveform"),
        (np.zeros((12, 300), bool), {}, "unsupported"),
        (np.zeros((12, 300), complex), {}, "unsupported"),
        (np.zeros((12, 300), "U3"), {}, "unsupported"),
        (np.zeros((12, 300), "M8[s]"), {}, "unsupported"),
        (np.zeros((12, 300), [("a", "f4")]), {}, "unsupported"),
        (np.zeros((12, 300)), {"zero_padded": True}, "no_waveform"),
        (np.full((12, 300), np.inf), {}, "unreadable"),
    ],
)
def test_arrays_that_are_no_ecg(array: np.ndarray, fields: dict, reason: str, tmp_path: Path) -> None:
    assert reasons(read_array(tmp_path, array, **fields)) == [reason]


class Bomb:
    """Unpickling it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    objects = np.array([Bomb(canary)] * 12, dtype=object).reshape(12, 1)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    assert reasons(read_file(tmp_path / "a.npy")) == ["unsafe"]
    np.savez(tmp_path / "b.npz", signal=objects, allow_pickle=True)
    assert reasons(read_file(tmp_path / "b.npz")) == ["unsafe"]
    (tmp_path / "c.npy").write_bytes(pickle.dumps(Bomb(canary)))
    assert reasons(read_file(tmp_path / "c.npy")) == ["unreadable"]
    assert not canary.exists()


def header(text: str, version: int = 1) -> bytes:
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (12, 1000000000000), }\n"), "too_long"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (12, -300), }\n"), "unreadable"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (12, 300), }\n"), "truncated"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (True, 300), }\n"), "unsupported"),
        (header("{'descr': '<f4', 'fortran_order': False}\n"), "unreadable"),
        (header("__import__('os').mkdir('canary')\n"), "unreadable"),
        (header("(" * 3000), "unreadable"),
        (header(" " * 60000), "unreadable"),
        (header("{" + " " * 60000, version=2), "unreadable"),
        (header("{}", version=3), "unsupported"),
        (b"\x93NUMPY\x01", "unreadable"),
        (b"\x93NUMPY\x02\0\xff\xff\xff\xff", "unreadable"),
        (b"PK\x03\x04", "unreadable"),
        (b"not an array", "unreadable"),
        (b"", "unreadable"),
    ],
)
def test_headers_that_lie(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    assert reasons(read_file(tmp_path / "a.npy")) == [reason]


def test_one_of_many_ecgs_is_read_with_the_memory_of_one(tmp_path: Path) -> None:
    start = header("{'descr': '<f4', 'fortran_order': False, 'shape': (10000, 12, 5000), }\n")
    with (tmp_path / "a.npy").open("wb") as file:
        file.write(start)
        file.truncate(len(start) + 10000 * 240_000)  # 2.4 GB without a block on the disk
        file.seek(len(start) + 9000 * 240_000)
        file.write(np.tile(ecg(1000), 5).astype("<f4").tobytes())
    vendor = NpyConfig(rate_hz=500, unit="mV", axes=("ecg", "lead", "sample")).build()
    tracemalloc.start()
    (one,) = vendor.read_all(tmp_path / "a.npy", {"9000": "key"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(one, Recording)
    assert np.abs(one.signal - np.tile(ecg(1000), 5)).max() < 1e-4
    assert peak < 10 << 20
    transposed = NpyConfig(rate_hz=500, unit="mV", axes=("lead", "ecg", "sample"), leads=("I",) * 1 + ("x",) * 9999)
    (one,) = transposed.build().read_all(tmp_path / "a.npy", {"3": "key"})
    assert isinstance(one, Rejected)
    assert one.reason in ("too_large", "too_long")


def test_arrays_of_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "cohort.npz"
    signals = np.stack([ecg(), ecg() / 2])
    np.savez_compressed(path, ecg=signals, exam=np.array(["b", "a"]), who=np.array([7, 8]), other=np.zeros(3))
    fields = {"signal": "ecg", "id": "exam", "patient": "who", "axes": ("ecg", "lead", "sample")}
    first, second = read_file(path, **fields)
    assert isinstance(first, Recording)
    assert isinstance(second, Recording)
    assert (first.key, first.patient_id) == (f"{tmp_path.name}/cohort.npz/a", "8")
    assert (second.key, second.patient_id) == (f"{tmp_path.name}/cohort.npz/b", "7")
    assert np.abs(first.signal - ecg() / 2).max() < 1e-4
    for name, reason in (("signal", "no_waveform"), ("who", "unsupported")):
        assert reasons(read_file(path, **fields | {"signal": name})) == [reason]
    assert reasons(read_file(path, **fields | {"id": "other"})) == ["truncated"]


def test_a_zip_that_announces_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    said = io.BytesIO(header("{'descr': '<f4', 'fortran_order': False, 'shape': (400, 12, 20000), }\n"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("signal.npy", "w") as member:
        member.write(said.getvalue())
        for _ in range(8):
            member.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    found = read_file(path, axes=("ecg", "lead", "sample"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(reasons(found)) == {"truncated"}
    assert peak < 10 << 20


@pytest.mark.parametrize(
    "fields",
    [
        {"unit": "volts"},
        {"rate_hz": 0},
        {"axes": ("lead",)},
        {"axes": ("lead", "lead", "sample")},
        {"leads": ("x", "y")},
        {"leads": ("I", "DI")},
        {"counts_per_unit": 0},
    ],
)
def test_configs_that_cannot_be_meant(fields: dict) -> None:
    with pytest.raises(ValidationError):
        NpyConfig(**{"rate_hz": 500, "unit": "mV"} | fields)


@pytest.mark.data
def test_real_arrays_keep_the_identities_of_the_limb_leads() -> None:
    """PTB-XL as another project saved it: III = II - I and the like hold only if unit, axes and leads are right."""
    folder = os.environ.get("HEMOMETRIC_DATA")
    if not folder:
        pytest.fail("HEMOMETRIC_DATA is not set: give the folder that holds ptbxl-extra/npy500")
    found = read_file(Path(folder) / "ptbxl-extra" / "npy500")
    assert len(found) == 20
    for one in found:
        assert isinstance(one, Recording)
        assert (one.signal.shape, one.rate_hz) == ((12, 5000), 500.0)
        loaded = np.load(Path(folder) / "ptbxl-extra" / "npy500" / one.key.rsplit("/", 1)[1])
        assert np.abs(one.signal - loaded).max() <= one.quantisation_error_mv + 1e-6
        assert max(limb_lead_residuals(one.signal).values()) < 0.005
