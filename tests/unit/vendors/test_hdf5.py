"""HDF5: the known layouts, one's own, and files that reach for other files or for more memory than there is."""

import os
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hemometric.ecg import LEADS, Recording, Rejected
from hemometric.vendors import find, read_all, vendor_of
from hemometric.vendors.formats_config import FormatsConfig
from hemometric.vendors.hdf5_format import Hdf5Layout

CANARY = b"Canaria Quxabella, born in a canary file. "


def ecgs(num: int = 3, samples: int = 400) -> np.ndarray:
    """Float [ecg, sample, lead] mV."""
    return np.random.default_rng(3).uniform(-1, 1, (num, samples, 12))


def read_file(path: Path, *own: Hdf5Layout) -> list[Recording | Rejected]:
    vendors = FormatsConfig(hdf5=own).build()
    return list(read_all(list(find([path], vendors)), vendors))


def reasons(found: Sequence[Recording | Rejected]) -> list[str]:
    assert not [one for one in found if isinstance(one, Rejected) and ("/tmp" in one.detail or "Canaria" in one.detail)]
    return [one.reason if isinstance(one, Rejected) else "read" for one in found]


def code15(path: Path, **changed: object) -> Path:
    tracings = np.zeros((3, 4096, 12), np.float32)
    tracings[:, 200:3900] = ecgs(3, 3700)
    parts: dict[str, object] = {"tracings": tracings, "exam_id": np.array([590673, 1169160, 77]), **changed}
    with h5py.File(path, "w") as file:
        for name, values in parts.items():
            if values is not None:
                file[name] = values
    return path


def plain_ml4h(path: Path, skip: str = "", libver: str = "earliest", **fields: object) -> Path:
    """A file of the layout with values that are stored as they are, two ECGs."""
    told: dict[str, object] = {"sampling_frequency": 250, "units": "uV", **fields}
    with h5py.File(path, "w", libver=libver) as file:
        for date in ("2004-02-08T15:56:00", "2011-01-31T08:00:01"):
            group = file.create_group(f"ecg/{date}")
            for lead, row in zip(LEADS, ecgs(1)[0].T, strict=True):
                group[lead] = np.rint(row * 1000).astype(np.int16)
            group["patientage"], group["gender"] = "71", "MALE"
            for name, value in told.items():
                if name != skip:
                    group.attrs[name] = value
    return path


def test_code15_is_read_exam_by_exam(tmp_path: Path) -> None:
    path = code15(tmp_path / "exams_part0.hdf5")
    first, second, third = found = read_file(path)
    keys = [f"{tmp_path.name}/exams_part0.hdf5/{exam}" for exam in (1169160, 590673, 77)]
    assert [one.key for one in found] == keys  # as find sorts them, and not as they lie in the file
    for one, row in ((first, 1), (second, 0), (third, 2)):
        assert isinstance(one, Recording)
        assert (one.leads, one.rate_hz, one.patient_id) == (LEADS, 400.0, None)
        assert one.signal.shape == (12, 3700)  # without the zeros at both ends
        assert np.abs(one.signal.T - ecgs(3, 3700)[row]).max() <= one.quantisation_error_mv + 1e-6


def test_zeros_within_an_exam_stay(tmp_path: Path) -> None:
    tracings = np.zeros((1, 4096, 12), np.float32)
    tracings[0, 100:900, 0] = 1.0
    tracings[0, 1500:1600, 3] = 1.0
    (one,) = read_file(code15(tmp_path / "a.hdf5", tracings=tracings, exam_id=np.array([5])))
    assert isinstance(one, Recording)
    assert one.num_samples == 1500
    assert (one.signal[:, 800:1400] == 0).all()


def test_an_exam_of_zeros_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    tracings = np.zeros((2, 4096, 12), np.float32)
    tracings[0] = 0.5
    found = read_file(code15(tmp_path / "a.hdf5", tracings=tracings, exam_id=np.array([1, 2])))
    assert reasons(found) == ["read", "no_waveform"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exam_id": np.array([1, 2])}, "truncated"),
        ({"exam_id": np.array([1, 2, 1])}, "duplicate_id"),
        ({"exam_id": np.array([b"1", b"", b"3"])}, "id_missing"),
        ({"exam_id": np.array([1.0, 2.0, 3.0])}, "unsupported"),
        ({"exam_id": None}, "unsupported"),
        ({"tracings": np.zeros((3, 12, 4096), np.float32)}, "unsupported"),
        ({"tracings": np.zeros((3, 4096), np.float32)}, "unsupported"),
        ({"tracings": np.zeros((3, 0, 12), np.float32)}, "truncated"),
        ({"tracings": np.array(["a", "b", "c"], dtype=object)}, "unsupported"),
        ({"tracings": None}, "unsupported"),
    ],
)
def test_a_file_that_is_not_quite_code15_is_refused(changed: dict, reason: str, tmp_path: Path) -> None:
    assert reasons(read_file(code15(tmp_path / "a.hdf5", **changed))) == [reason]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_samples_that_are_no_voltage(bad: float, tmp_path: Path) -> None:
    tracings = ecgs(1).astype(np.float32)
    tracings[0, 7, 4] = bad
    (one,) = read_file(code15(tmp_path / "a.hdf5", tracings=tracings, exam_id=np.array([1])))
    if np.isnan(bad):
        assert isinstance(one, Recording)
        assert np.argwhere(np.isnan(one.signal)).tolist() == [[4, 7]]
    else:
        assert reasons([one]) == ["unreadable"]


def test_sph_holds_one_ecg_of_half_floats(tmp_path: Path) -> None:
    path = tmp_path / "A00001.h5"
    signal = ecgs(1, 5000)[0].T
    with h5py.File(path, "w") as file:
        file.create_dataset("ecg", data=signal.astype(np.float16), compression="gzip")
    (one,) = read_file(path)
    assert isinstance(one, Recording)
    assert (one.key, one.leads, one.rate_hz) == (f"{tmp_path.name}/A00001.h5", LEADS, 500.0)
    assert np.abs(one.signal - signal).max() < 0.0006  # half floats below 1 mV lie 0.0005 apart at most


def test_ml4h_in_plain_values_has_an_ecg_for_each_date(tmp_path: Path) -> None:
    found = read_file(plain_ml4h(tmp_path / "1000004.hd5"))
    assert [one.key.rsplit("/", 1)[1] for one in found] == ["2004-02-08T15:56:00", "2011-01-31T08:00:01"]
    for one in found:
        assert isinstance(one, Recording)
        assert one.counts.dtype == np.int16
        assert (one.counts == np.rint(ecgs(1)[0].T * 1000)).all()
        assert (one.gain_per_mv == 1000).all()
        assert one.quantisation_error_mv == 0.0
        assert (one.rate_hz, one.patient_id, one.age_years, one.sex) == (250.0, "1000004", 71.0, "male")
    assert found[1].acquired == datetime(2011, 1, 31, 8, 0, 1)  # type: ignore[union-attr]


def test_ml4h_without_a_patient_id_names_no_patient(tmp_path: Path) -> None:
    found = read_file(plain_ml4h(tmp_path / "bad_mrn.hd5"))
    assert [one.patient_id for one in found if isinstance(one, Recording)] == [None, None]


@pytest.mark.parametrize(
    ("skip", "fields", "reason"),
    [
        ("sampling_frequency", {}, "rate_missing"),
        ("", {"sampling_frequency": 0}, "rate_missing"),
        ("", {"sampling_frequency": "fast"}, "rate_missing"),
        ("units", {}, "unknown_unit"),
        ("", {"units": "mmHg"}, "unknown_unit"),
        ("", {"units": "u" * 300_000}, "unknown_unit"),
        ("", {"units": ["mV", "uV"]}, "unknown_unit"),
    ],
)
def test_ml4h_that_does_not_say_its_rate_or_unit(skip: str, fields: dict, reason: str, tmp_path: Path) -> None:
    path = plain_ml4h(tmp_path / "7.hd5", skip, **{name: fields[name] for name in fields if len(str(fields[name])) < 9})
    with h5py.File(path, "a") as file:
        for group in file["ecg"].values():
            for name, value in fields.items():
                if len(str(value)) >= 300_000:  # too large for a header: h5py needs the newest layout
                    del group.attrs[name]
                    group[name] = value
                else:
                    group.attrs[name] = value
    assert reasons(read_file(path)) == [reason, reason]


def test_a_layout_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "cohort.h5"
    counts = np.rint(ecgs(3) * 200).astype(">i2").transpose(2, 1, 0)  # [lead, sample, ecg]
    with h5py.File(path, "w") as file:
        file["waves/raw"] = counts
        file["exam"] = ["a", "b", "c"]
        file["who"] = np.array([b"p1", b"p1", b"p2"])
    layout = Hdf5Layout(
        signal="waves/raw",
        id="exam",
        patient="who",
        axes=("lead", "sample", "ecg"),
        leads=("V6", "V5", "V4", "V3", "V2", "V1", "aVF", "aVL", "aVR", "RESP", "II", "I"),
        rate_hz=257,
        unit="mV",
        counts_per_unit=200,
    )
    found = read_file(path, layout)
    assert [one.patient_id for one in found if isinstance(one, Recording)] == ["p1", "p1", "p2"]
    last = found[2]
    assert isinstance(last, Recording)
    assert last.leads == ("V6", "V5", "V4", "V3", "V2", "V1", "aVF", "aVL", "aVR", "II", "I")
    assert (last.counts[-1] == counts[11, :, 2]).all()
    assert (last.rate_hz, last.gain_per_mv[0], last.quantisation_error_mv) == (257.0, 200.0, 0.0)
    assert reasons(read_file(path)) == ["unsupported"]  # without the layout


def test_ones_own_layout_goes_before_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "echonext.hd5"
    with h5py.File(path, "w") as file:
        file["ecg/waveform"] = ecgs(1)[0]
        file["ecg/tabular_features"] = np.zeros(7)
    layout = Hdf5Layout(signal="ecg/waveform", axes=("sample", "lead"), rate_hz=250, unit="mV")
    assert reasons(read_file(path, layout)) == ["read"]
    assert reasons(read_file(path)) == ["no_waveform", "no_waveform"]


def test_a_damaged_ecg_leaves_the_others(tmp_path: Path) -> None:
    path = code15(tmp_path / "a.hdf5", tracings=None)
    with h5py.File(path, "a") as file:
        options = {"chunks": (1, 400, 12), "compression": "gzip", "fletcher32": True}
        tracings = file.create_dataset("tracings", data=ecgs(3).astype(np.float32), **options)
        damaged = tracings.id.get_chunk_info_by_coord((1, 0, 0)).byte_offset + 50
    content = bytearray(path.read_bytes())
    content[damaged] ^= 255
    path.write_bytes(bytes(content))
    assert reasons(read_file(path)) == ["unreadable", "read", "read"]  # 1169160, which lies second, comes first


def test_without_ids_ecgs_are_named_by_their_place(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = ecgs(11)
    layout = Hdf5Layout(signal="x", axes=("ecg", "sample", "lead"), rate_hz=500, unit="mV")
    found = {one.key.rsplit("/", 1)[1]: one for one in read_file(path, layout)}
    assert sorted(found, key=int) == [str(place) for place in range(11)]
    assert np.abs(found["10"].signal.T - ecgs(11)[10]).max() < 1e-4  # type: ignore[union-attr]


def test_a_user_block_before_the_file_is_passed_over(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as file:
        file["ecg"] = ecgs(1)[0].T
    assert reasons(read_file(tmp_path / "a.h5")) == ["read"]


# What an HDF5 file can reach for.


def external_storage(file: h5py.File, canary: Path) -> None:
    file.create_dataset("ecg", (12, 400), np.float16, external=[(str(canary), 0, h5py.h5f.UNLIMITED)])


def external_link(file: h5py.File, canary: Path) -> None:
    file["ecg"] = h5py.ExternalLink(str(canary.with_suffix(".h5")), "/ecg")


def external_group(file: h5py.File, canary: Path) -> None:
    file["ecg/2004-02-08T15:56:00"] = h5py.ExternalLink(str(canary.with_suffix(".h5")), "/")


def virtual(file: h5py.File, canary: Path) -> None:
    layout = h5py.VirtualLayout((12, 400), np.float16)
    layout[...] = h5py.VirtualSource(str(canary.with_suffix(".h5")), "ecg", (12, 400))
    file.create_virtual_dataset("ecg", layout)


def soft_link(file: h5py.File, canary: Path) -> None:
    file["elsewhere"] = ecgs(1)[0].T
    file["ecg"] = h5py.SoftLink("/elsewhere")


def soft_link_through_another_file(file: h5py.File, canary: Path) -> None:
    file["elsewhere"] = h5py.ExternalLink(str(canary.with_suffix(".h5")), "/")
    file["ecg"] = h5py.SoftLink("/elsewhere/ecg")


def link_to_itself(file: h5py.File, canary: Path) -> None:
    file["ecg"] = h5py.SoftLink("/ecg")


@pytest.mark.parametrize(
    "reach",
    [
        external_storage,
        external_link,
        external_group,
        virtual,
        soft_link,
        soft_link_through_another_file,
        link_to_itself,
    ],
)
def test_no_other_file_is_opened(
    reach: Callable[[h5py.File, Path], None], tmp_path: Path, openings: Callable[..., Any]
) -> None:
    canary = tmp_path / "canary"
    canary.write_bytes(CANARY * 1000)
    with h5py.File(canary.with_suffix(".h5"), "w") as other:
        other["ecg"] = np.frombuffer(CANARY * 1000, np.uint8)[: 12 * 400 * 2].view(np.float16).reshape(12, 400)
    folder = tmp_path / "in"
    folder.mkdir()
    with h5py.File(folder / "a.h5", "w") as file:
        reach(file, canary)
    with openings(canary, canary.with_suffix(".h5")) as was_opened:
        assert reasons(read_file(folder / "a.h5")) == ["unsafe"]
        assert not was_opened()
        canary.read_bytes()
        assert was_opened()  # the measure is not blind


def test_space_that_is_announced_and_not_there_is_refused(tmp_path: Path) -> None:
    for name, chunks in (("plain.h5", None), ("chunked.h5", (1, 4096, 12))):
        with h5py.File(tmp_path / name, "w") as file:
            file.create_dataset("tracings", (100_000, 4096, 12), np.float32, chunks=chunks)  # 19 GB
            file["exam_id"] = np.arange(3)
        assert (tmp_path / name).stat().st_size < 8192
        assert reasons(read_file(tmp_path / name)) == ["truncated"]


def test_one_exam_of_4_gb_is_read_with_the_memory_of_one(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        tracings = file.create_dataset("tracings", (20_000, 4096, 12), np.float32, chunks=(1, 4096, 12))
        file["exam_id"] = np.arange(20_000)
        tracings[7_000] = ecgs(1, 4096)[0]
    (hdf5,) = (vendor for vendor in FormatsConfig().build() if vendor.name == "hdf5")
    tracemalloc.start()
    found = list(hdf5.read_all(path, {"7000": "there", "5": "not there"}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reasons(found) == ["read", "no_waveform"]
    assert peak < 20 << 20


def test_pieces_that_are_too_large_to_unpack_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        wide = file.create_dataset("ecg", (12, 50_000_000), np.float16, chunks=(12, 20_000_000), compression="gzip")
        assert wide.chunks == (12, 20_000_000)
        small = file.create_dataset("tracings", (3, 400, 12), np.float32)
        small[:] = 1
    assert reasons(read_file(tmp_path / "a.h5")) == ["too_large"]


def test_a_piece_that_swells_beyond_what_is_announced_is_refused(tmp_path: Path) -> None:
    packing = zlib.compressobj(1)  # 150 MB in 0.7 MB
    packed = [packing.compress(bytes(1 << 20)) for _ in range(150)]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        signal = file.create_dataset("ecg", (12, 400), np.float16, chunks=(12, 400), compression="gzip")
        signal.id.write_direct_chunk((0, 0), b"".join([*packed, packing.flush()]))
    tracemalloc.start()
    found = read_file(tmp_path / "a.h5")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reasons(found) == ["unsafe"]
    assert peak < 4 << 20
    code15(tmp_path / "b.h5", exam_id=None)
    with h5py.File(tmp_path / "b.h5", "a") as file:
        exams = file.create_dataset("exam_id", (3,), np.int64, chunks=(3,), compression="gzip")
        exams.id.write_direct_chunk((0,), b"".join(packed))
    assert reasons(read_file(tmp_path / "b.h5")) == ["unsafe"]


def test_large_pieces_that_hold_what_they_announce_are_read(tmp_path: Path) -> None:
    tracings = np.random.default_rng(1).integers(-9, 9, (60, 4096, 12)).astype(np.int8)  # packs into 1.6 MB
    code15(tmp_path / "a.h5", tracings=None, exam_id=np.arange(60))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.create_dataset("tracings", data=tracings, chunks=tracings.shape, compression="gzip", fletcher32=True)
        assert file["tracings"].id.get_storage_size() > 1 << 20
    found = read_file(tmp_path / "a.h5")
    assert reasons(found) == ["read"] * 60
    last = next(one for one in found if one.key.endswith("/59"))
    assert isinstance(last, Recording)
    assert np.array_equal(last.counts.T, tracings[59])


def test_an_array_longer_than_any_ecg_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("ecg", (12, 1 << 30), np.int8, chunks=(12, 4096))[0, 0] = 1
    assert reasons(read_file(tmp_path / "a.h5")) == ["too_long"]


def test_a_filter_that_would_load_a_library_is_refused(tmp_path: Path) -> None:
    path = code15(tmp_path / "a.hdf5", tracings=None)
    with h5py.File(path, "a") as file:
        space = h5py.h5s.create_simple((3, 4096, 12))
        created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        created.set_chunk((1, 4096, 12))
        created.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))  # Zstandard, which comes as a plugin
        h5py.h5d.create(file.id, b"tracings", h5py.h5t.NATIVE_FLOAT, space, created)
        file["tracings"][:] = 1
    (one, *_) = read_file(path)
    assert isinstance(one, Rejected)
    assert one.reason == "unsupported"
    assert "32015" in one.detail


def test_a_heap_of_texts_that_would_hold_the_library_for_ever_is_refused(tmp_path: Path) -> None:
    for path in (plain_ml4h(tmp_path / "7.hd5"), code15(tmp_path / "a.h5", exam_id=["a", "b", "c"])):
        assert set(reasons(read_file(path))) == {"read"}
        content = bytearray(path.read_bytes())
        heap = content.index(b"GCOL")
        place = heap + 16
        while content[place : place + 2] != b"\0\0":  # over the texts to the free rest, whose length becomes 0
            place += 16 + -(-int.from_bytes(content[place + 8 : place + 16], "little") // 8) * 8
        content[place + 8 : place + 16] = bytes(8)
        path.write_bytes(bytes(content))
        assert set(reasons(read_file(path))) == {"unsafe"}


def test_references_are_no_samples(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ecg"] = np.array([[file.ref] * 400] * 12, dtype=h5py.ref_dtype)
    assert reasons(read_file(tmp_path / "a.h5")) == ["unsupported"]
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["tracings"] = ecgs(3)
        file["exam_id"] = np.array([file.ref] * 3, dtype=h5py.ref_dtype)
    assert reasons(read_file(tmp_path / "b.h5")) == ["unsupported"]


def test_a_huge_attribute_is_not_read(tmp_path: Path) -> None:
    path = plain_ml4h(tmp_path / "7.hd5", "units", "latest")
    with h5py.File(path, "a", libver="latest") as file:
        for group in file["ecg"].values():
            group.attrs.create("units", np.zeros(4_000_000, "S4"))
    tracemalloc.start()
    found = read_file(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reasons(found) == ["unknown_unit", "unknown_unit"]
    assert peak < 4 << 20


def test_a_packed_value_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa

    packed = pa.Codec("zstd").compress(bytes(1 << 20), asbytes=True)
    for said, reason in ((1 << 40, "too_long"), (1000, "unreadable"), (1 << 22, "unreadable")):
        path = plain_ml4h(tmp_path / f"{said}.hd5")
        with h5py.File(path, "a") as file:
            for group in file["ecg"].values():
                del group["V1"]
                group["V1"] = np.void(packed)
                group["V1"].attrs.update({"len": said // 2, "uncompressed_length": said})
        assert reasons(read_file(path)) == [reason, reason]


@pytest.mark.parametrize("make", [code15, plain_ml4h])
def test_flipped_bytes_of_each_layout_end_in_a_reason_or_a_recording(make: Callable[..., Path], tmp_path: Path) -> None:
    path = make(tmp_path / "a.hd5")
    whole = path.read_bytes()
    draw = np.random.default_rng(11)
    for _ in range(int(os.environ.get("HEMOMETRIC_MUTATIONS", "40"))):
        content = bytearray(whole)
        for _ in range(int(draw.integers(1, 9))):
            content[draw.integers(min(len(content), 12_000))] = draw.integers(256)
        path.write_bytes(bytes(content))
        for one in read_file(path):
            assert isinstance(one, Recording | Rejected)
    for share in (0.0, 0.01, 0.5, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        assert set(reasons(read_file(path))) <= {"truncated", "unreadable"}


@pytest.mark.data
def test_real_exams_are_the_same_in_hdf5_and_in_wfdb(tmp_path: Path) -> None:
    """CODE-15 as PhysioNet converted it, written back into the layout that it came from."""
    folder = os.environ.get("HEMOMETRIC_DATA")
    if not folder:
        pytest.fail("HEMOMETRIC_DATA is not set: give the folder that holds code15-chagas")
    wfdb = [one for one in read_all(list(find([Path(folder) / "code15-chagas"]))) if isinstance(one, Recording)]
    assert len(wfdb) >= 150
    tracings = np.zeros((len(wfdb), 4096, 12), np.float32)
    fits = [one for one in wfdb if one.num_samples <= 4096]
    for row, one in enumerate(fits):
        start = (4096 - one.num_samples) // 2
        tracings[row, start : start + one.num_samples] = one.signal.T
    exams = [int(one.key.rsplit("/", 1)[1]) for one in fits]
    path = code15(tmp_path / "exams.hdf5", tracings=tracings[: len(fits)], exam_id=np.array(exams))
    found = {int(one.key.rsplit("/", 1)[1]): one for one in read_file(path)}
    assert len(found) == len(fits)
    for exam, expected in zip(exams, fits, strict=True):
        one = found[exam]
        assert isinstance(one, Recording)
        there = np.flatnonzero((expected.signal != 0).any(axis=0))  # PhysioNet rounded some ends to 0
        signal = expected.signal[:, there[0] : there[-1] + 1]
        assert (one.rate_hz, one.signal.shape) == (400.0, signal.shape)
        assert np.abs(one.signal - signal).max() <= one.quantisation_error_mv + 1e-5


def test_the_reader_needs_no_config() -> None:
    assert vendor_of("hdf5").items is not None
