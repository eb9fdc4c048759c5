"""What the WFDB reader gives must be what the `wfdb` package gives."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import wfdb

from hemometric.ecg import INVALID_COUNT, LEADS, Recording
from hemometric.vendors import find, read
from hemometric.waveform import canonical_lead

BUNDLED = Path(str(files("hemometric").joinpath("demo/data/ptbxl")))


def assert_equals_wfdb(recording: Recording, header: Path, tolerance_mv: float = 1e-5) -> None:
    oracle = wfdb.rdrecord(str(header.with_suffix("")))
    per_mv = {"mv": 1.0, "uv": 1e3, "nv": 1e6, "v": 1e-3}
    names = [canonical_lead(name) for name in oracle.sig_name]
    assert recording.rate_hz == oracle.fs
    assert recording.leads == tuple(name for name in names if name)
    for lead, row in zip(recording.leads, recording.signal, strict=True):
        column = names.index(lead)
        expected = oracle.p_signal[:, column] / per_mv[oracle.units[column].lower()]
        np.testing.assert_allclose(row, expected, atol=tolerance_mv, rtol=3e-7, equal_nan=True, err_msg=lead)


def test_every_bundled_record_equals_wfdb_to_a_microvolt() -> None:
    sources = list(find([BUNDLED]))
    assert len(sources) == 147
    for source in sources:
        recording = read(source)
        assert isinstance(recording, Recording)
        assert recording.leads == LEADS
        assert recording.quantisation_error_mv == 0
        assert recording.counts.dtype == np.int16
        assert_equals_wfdb(recording, source.path, tolerance_mv=0.001)


@pytest.mark.parametrize("storage", ["16", "212", "24", "32", "80"])
@pytest.mark.parametrize("num_samples", [500, 501])
@pytest.mark.parametrize("num_leads", [1, 3, 12])
def test_formats(write_record, read_one, counts, storage: str, num_samples: int, num_leads: int) -> None:
    samples = counts[:num_samples, :num_leads]
    header = write_record(storage=storage, samples=np.clip(samples, -127, 127) if storage == "80" else samples)
    recording = read_one(header)
    assert isinstance(recording, Recording), recording
    assert recording.num_samples == num_samples
    assert_equals_wfdb(recording, header)


@pytest.mark.parametrize(
    ("storage", "dtype", "shift"),
    [(61, ">i2", 0), (160, "<u2", 32768), (16, "<i2", 0), (32, "<i4", 0), (80, "u1", 128)],
)
def test_formats_that_wfdb_does_not_write(write_text, read_one, counts, storage: int, dtype: str, shift: int) -> None:
    samples = np.clip(counts[:100], -127, 127)
    lines = [f"rec.dat {storage} 200(5)/mV 16 0 0 {samples[:, i].sum() % 65536} 0 {LEADS[i]}" for i in range(12)]
    header = write_text("\n".join(["rec 12 500 100", *lines]), dat=(samples + shift).astype(dtype).tobytes())
    recording = read_one(header)
    assert isinstance(recording, Recording), recording
    np.testing.assert_array_equal(recording.counts, samples.T)
    assert_equals_wfdb(recording, header)


def test_format_8_sums_first_differences(write_text, read_one) -> None:
    differences = np.random.default_rng(0).integers(-128, 128, (400, 2)).astype(np.int8)
    initial = np.array([100, -7])
    samples = initial + np.cumsum(differences, axis=0, dtype=np.int64)
    lines = [f"rec.dat 8 200 12 0 {initial[i]} {samples[:, i].sum() % 65536} 0 {LEADS[i]}" for i in range(2)]
    header = write_text("\n".join(["rec 2 500 400", *lines]), dat=differences.tobytes())
    recording = read_one(header)
    assert isinstance(recording, Recording), recording
    np.testing.assert_array_equal(recording.counts, samples.T)
    assert_equals_wfdb(recording, header)


def test_gain_baseline_and_unit_per_channel(write_record, read_one) -> None:
    units = ["mV", "uV", "nV", "V", "mv", "UV"] * 2
    gains = [200.0, 0.2048, 1e-4, 4.5e5, 1000.5, 1.0] * 2
    header = write_record(units=units, adc_gain=gains, baseline=[-1024, 0, 7, 3, 2000, -5] * 2)
    recording = read_one(header)
    assert isinstance(recording, Recording), recording
    assert_equals_wfdb(recording, header)
    np.testing.assert_allclose(recording.gain_per_mv[:4], [200.0, 204.8, 100.0, 450.0])


@pytest.mark.parametrize("micro", ["\u00b5V", "\u03bcV"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_microvolts_in_greek(write_text, read_one, micro: str, encoding: str) -> None:
    text = f"rec 1 500 1200\nrec.dat 16 2(0)/{micro} 16 0 0 0 0 I\n"
    if encoding == "latin-1" and micro == "\u03bcV":
        return  # that letter does not exist in Latin-1
    recording = read_one(write_text(text.encode(encoding)))
    assert isinstance(recording, Recording), recording
    assert recording.gain_per_mv.tolist() == [2000.0]


def test_without_a_unit_it_is_millivolts_and_without_a_baseline_the_adc_zero(write_text, read_one) -> None:
    header = write_text("rec 1 360 1200\nrec.dat 16 200 11 1024 0 0 0 II\n")
    recording = read_one(header)
    assert isinstance(recording, Recording), recording
    assert recording.gain_per_mv.tolist() == [200.0]
    assert recording.offset_counts.tolist() == [1024.0]
    assert_equals_wfdb(recording, header)


@pytest.mark.parametrize(
    ("storage", "mark"), [("16", -32768), ("212", -2048), ("80", -128), ("24", -(2**23)), ("32", -(2**31))]
)
def test_absent_samples_become_nan(write_record, read_one, counts, storage: str, mark: int) -> None:
    samples = np.clip(counts, -100, 100)
    samples[10:20, 3] = mark
    header = write_record(storage=storage, samples=samples)
    recording = read_one(header)
    assert isinstance(recording, Recording), recording
    assert (recording.counts[3, 10:20] == INVALID_COUNT).all()
    assert np.isnan(recording.signal).sum() == 10
    assert_equals_wfdb(recording, header)


def test_wide_counts_move_into_int16_without_loss_where_they_fit(write_record, read_one, counts) -> None:
    header = write_record(storage="24", samples=counts + 1_000_000)
    recording = read_one(header)
    assert isinstance(recording, Recording), recording
    assert recording.quantisation_error_mv == 0
    assert recording.counts.dtype == np.int16
    assert_equals_wfdb(recording, header, tolerance_mv=1e-3)  # 5000 mV of offset in float32


def test_wider_counts_are_requantised_and_name_their_error(write_record, read_one, counts) -> None:
    header = write_record(storage="32", samples=counts * 1000, adc_gain=[200_000.0] * 12)
    recording = read_one(header)
    assert isinstance(recording, Recording), recording
    spans = np.ptp(counts * 1000, axis=0)
    assert recording.quantisation_error_mv == pytest.approx(0.5 * spans.max() / 65000 / 200_000.0)
    assert_equals_wfdb(recording, header, tolerance_mv=1.01 * recording.quantisation_error_mv + 1e-5)


def test_several_files_are_one_record_and_frank_leads_are_ignored(write_text, read_one, counts, tmp_path: Path) -> None:
    samples = counts[:100].astype("<i2")
    names = ["i", "ii", "v1"]
    lines = [f"rec.dat 16 2000 16 0 0 {samples[:, i].sum() % 65536} 0 {names[i]}" for i in range(3)]
    lines += [f"rec.d2 16 1000 16 0 0 {samples[:, i].sum() % 65536} 0 v{i}" for i in (2, 3)]
    lines += ["rec.xyz 16 2000 16 0 0 12345 0 vx"]  # neither there nor needed
    header = write_text("\n".join(["rec 6 1000 100", *lines]), dat=samples[:, :3].tobytes())
    (tmp_path / "rec.d2").write_bytes(samples[:, 2:4].tobytes())
    recording = read_one(header)
    assert isinstance(recording, Recording), recording
    assert recording.leads == ("I", "II", "V1", "V2", "V3")
    np.testing.assert_array_equal(recording.counts, samples[:, [0, 1, 2, 2, 3]].T)


def test_mat_of_cinc_begins_at_byte_24(write_text, read_one, counts, tmp_path: Path) -> None:
    samples = counts[:100].astype("<i2")
    lines = [f"rec.mat 16x1+24 1000.0(0)/mv 16 0 0 {samples[:, i].sum() % 65536} 0 {LEADS[i]}" for i in range(12)]
    header = write_text("\n".join(["rec 12 500 100 12-May-2020 12:33:59", *lines]))
    (tmp_path / "rec.mat").write_bytes(b"\x07" * 24 + samples.tobytes())
    recording = read_one(header)
    assert isinstance(recording, Recording), recording
    np.testing.assert_array_equal(recording.counts, samples.T)


def test_several_samples_in_a_frame_are_a_higher_rate(write_text, read_one, counts) -> None:
    samples = counts[:100, :2].astype("<i2")
    stored = samples.reshape(25, 4, 2).transpose(0, 2, 1)
    lines = [f"rec.dat 16x4 200/mV 16 0 0 {samples[:, i].sum() % 65536} 0 {LEADS[i]}" for i in range(2)]
    header = write_text("\n".join(["rec 2 125 25", *lines]), dat=stored.tobytes())
    recording = read_one(header)
    assert isinstance(recording, Recording), recording
    assert recording.rate_hz == 500.0
    np.testing.assert_array_equal(recording.counts, samples.T)
    oracle = wfdb.rdrecord(str(header.with_suffix("")), smooth_frames=False)
    np.testing.assert_allclose(recording.signal, np.stack(oracle.e_p_signal), atol=1e-6)


def test_without_a_length_the_bytes_are_counted(write_text, read_one, counts) -> None:
    samples = counts[:100, :2].astype("<i2")
    lines = [f"rec.dat 16 200 16 0 0 {samples[:, i].sum() % 65536} 0 {LEADS[i]}" for i in range(2)]
    for first in ("rec 2 500", "rec 2 500 0"):
        text = "\n".join([first, *lines])
        recording = read_one(write_text(text, dat=samples.tobytes() + b"\x01"))
        assert isinstance(recording, Recording), recording
        np.testing.assert_array_equal(recording.counts, samples.T)


@pytest.mark.parametrize(
    ("comments", "age", "sex", "patient"),
    [
        ("#Age: 56\n#Sex: Male\n", 56.0, "male", None),
        ("# Age: 73\n# Sex: Female\n# Patient ID: 00123\n", 73.0, "female", "00123"),
        ("#<age>: 51\n#<sex>: F\n", 51.0, "female", None),
        ("# age: NaN\n# sex: Unknown\n# Patient ID: \n", None, None, None),
        ("# age: 300\n# gender: m\n# Age: 40\n", None, "male", None),
        ("# ECG date: 01/10/1990\n#no colon\n#:\n#\n", None, None, None),
    ],
)
def test_the_person_in_the_comments(write_text, read_one, comments: str, age, sex, patient) -> None:
    recording = read_one(write_text(f"rec 1 500 1200\nrec.dat 16 200 16 0 0 0 0 I\n{comments}"))
    assert isinstance(recording, Recording), recording
    assert (recording.age_years, recording.sex, recording.patient_id) == (age, sex, patient)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_ends_blank_lines_and_comments_between(write_text, read_one, ending: str) -> None:
    lines = [
        "\ufeff# before",
        "rec 2 500 600 10:00:00 01/02/2003",
        "",
        "rec.dat 16 200 16 0 0 0 0 I",
        "# x",
        "rec.dat 16 200 16 0 0 0 0 II",
    ]
    recording = read_one(write_text(ending.join(lines)))
    assert isinstance(recording, Recording), recording
    assert recording.leads == ("I", "II")
