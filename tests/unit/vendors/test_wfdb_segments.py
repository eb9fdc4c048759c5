"""Records of several segments become one recording, with gaps where nothing was recorded."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import wfdb

from hemometric.ecg import INVALID_COUNT, Recording
from hemometric.vendors import find, read

Write = Callable[..., None]
LAYOUT = "rec_layout 3 500 0\n~ 0 200/mV 12 0 0 0 0 I\n~ 0 200/mV 12 0 0 0 0 II\n~ 0 1/mmHg 12 0 0 0 0 ABP\n"


@pytest.fixture
def segment(tmp_path: Path) -> Write:
    """Write one segment, from int [sample, signal]."""

    def write(
        name: str, samples: np.ndarray, leads: tuple[str, ...], gain: str = "200(0)/mV", rate: str = "500"
    ) -> None:
        sums = samples.sum(axis=0) % 65536
        lines = [f"{name}.dat 16 {gain} 16 0 0 {sums[i]} 0 {lead}" for i, lead in enumerate(leads)]
        (tmp_path / f"{name}.hea").write_text("\n".join([f"{name} {len(leads)} {rate} {len(samples)}", *lines]))
        (tmp_path / f"{name}.dat").write_bytes(samples.astype("<i2").tobytes())

    return write


@pytest.fixture
def fixed(tmp_path: Path, segment: Write, counts: np.ndarray) -> Path:
    """Two segments of one layout."""
    segment("rec_1", counts[:300, :2], ("I", "II"))
    segment("rec_2", counts[300:, :2], ("I", "II"))
    (tmp_path / "zz7.hea").write_text("rec/2 2 500 501 8:26:04 26/10/1994\nrec_1 300\nrec_2 201\n# Age: 63\n")
    return tmp_path / "zz7.hea"


@pytest.fixture
def variable(tmp_path: Path, segment: Write, counts: np.ndarray) -> Path:
    """A gap; both leads; one of them with another gain; one in another place; none."""
    segment("rec_1", counts[:100, :2], ("I", "II"))
    segment("rec_2", counts[100:150, 1:2], ("II",), gain="1000(7)/mV")
    segment("rec_3", counts[200:300, [2, 0]], ("ABP", "I"))
    segment("rec_4", counts[300:320, :1], ("ABP",), gain="1/mmHg")
    (tmp_path / "rec_layout.hea").write_text(LAYOUT)
    lines = ["rec/6 3 500 320", "rec_layout 0", "~ 50", "rec_1 100", "rec_2 50", "rec_3 100", "rec_4 20"]
    (tmp_path / "zz7.hea").write_text("\n".join(lines))
    return tmp_path / "zz7.hea"


def assert_equals_wfdb(recording: Recording, header: Path) -> None:
    oracle = wfdb.rdrecord(str(header.with_suffix("")))
    for lead, row in zip(recording.leads, recording.signal, strict=True):
        expected = oracle.p_signal[:, oracle.sig_name.index(lead)]
        np.testing.assert_allclose(
            row, expected, atol=1.001 * recording.quantisation_error_mv + 1e-6, equal_nan=True, err_msg=lead
        )


def test_fixed_layout(fixed: Path, read_one, counts) -> None:
    recording = read_one(fixed)
    assert isinstance(recording, Recording), recording
    np.testing.assert_array_equal(recording.counts, counts[:, :2].T)
    assert recording.quantisation_error_mv == 0
    assert recording.acquired == datetime(1994, 10, 26, 8, 26, 4)
    assert recording.age_years == 63
    assert_equals_wfdb(recording, fixed)


def test_variable_layout(variable: Path, read_one, counts) -> None:
    recording = read_one(variable)
    assert isinstance(recording, Recording), recording
    assert recording.leads == ("I", "II")
    assert recording.quantisation_error_mv == 0  # 1000 is a multiple of 200
    first, second = recording.counts
    np.testing.assert_array_equal(
        np.flatnonzero(first == INVALID_COUNT), [*range(50), *range(150, 200), *range(300, 320)]
    )
    np.testing.assert_array_equal(np.flatnonzero(second == INVALID_COUNT), [*range(50), *range(200, 320)])
    np.testing.assert_array_equal(first[50:150], counts[:100, 0])
    np.testing.assert_array_equal(second[50:150], 5 * counts[:100, 1])
    np.testing.assert_array_equal(second[150:200], counts[100:150, 1] - 7)
    assert_equals_wfdb(recording, variable)


def test_only_the_whole_is_found(variable: Path) -> None:
    (source,) = find([variable.parent])
    assert source.path == variable


def test_gaps_in_a_fixed_layout(fixed: Path, read_one) -> None:
    fixed.write_text("rec/3 2 500 511\nrec_1 300\n~ 10\nrec_2 201\n")
    recording = read_one(fixed)
    assert isinstance(recording, Recording), recording
    assert np.flatnonzero((recording.counts == INVALID_COUNT).all(axis=0)).tolist() == list(range(300, 310))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rec/2 2 500 501\nrec_1 300\n", "truncated"),
        ("rec/2 2 500 501\nrec_1 300\nrec_2 201\nrec_2 201\n", "unreadable"),
        ("rec/2 2 500 501\nrec_1 300\n../rec_2 201\n", "truncated"),
        ("rec/0 2 500 501\n", "unreadable"),
        ("rec/2 2 500 502\nrec_1 300\nrec_2 201\n", "unreadable"),
        ("rec/2 2 500\nrec_1 300\nrec_2 200\n", "unreadable"),
        ("rec/2 2 500\nrec_1 300\nrec_2 0\n", "unreadable"),
        ("rec/2 2 500 999\nrec_1 300\nother 699\n", "missing_file"),
        ("rec/2 2 500 600\nrec_1 300\nzz7 300\n", "unsupported"),
        ("rec/2 2 250 501\nrec_1 300\nrec_2 201\n", "mixed_rates"),
        ("rec/2 2\nrec_1 300\nrec_2 201\n", "mixed_rates"),
        ("rec/2 2 500\nrec_1 300\n~ 999999999999999999\n", "too_long"),
        ("rec/2 2 500\nrec_1 300\n~ 16777216\n", "too_long"),
        ("rec/2 2 500\nrec_1 300\n~ 16776000\n", "too_long"),  # fits one lead, not two
        ("rec/1 2 500\n~ 300\n", "no_standard_lead"),
        ("rec/1 2 500\nrec_1 0\n", "no_standard_lead"),
        ("rec/5000 2 500\n" + 5000 * "rec_1 300\n", "too_long"),
        ("rec/9999999 2 500\nrec_1 300\n", "truncated"),
    ],
)
def test_bad_records(fixed: Path, refusal, text: str, reason: str) -> None:
    fixed.write_text(text)
    assert refusal(fixed) == reason


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("rec_2", {"leads": ("I", "V1")}, "unreadable"),
        ("rec_2", {"leads": ("I", "other")}, "unreadable"),
        ("rec_2", {"leads": ("I", "I")}, "duplicate_lead"),
        ("rec_2", {"rate": "250"}, "mixed_rates"),
        ("rec_2", {"gain": "0/mV"}, "gain_zero"),
        ("rec_2", {"gain": "1/mmHg"}, "unknown_unit"),
    ],
)
def test_bad_segments(fixed: Path, refusal, segment: Write, counts, name: str, changes: dict, reason: str) -> None:
    segment(name, counts[300:, :2], **{"leads": ("I", "II")} | changes)
    assert refusal(fixed) == reason


def test_a_lead_that_the_layout_does_not_list(variable: Path, refusal, segment: Write, counts) -> None:
    segment("rec_2", counts[100:150, 1:2], ("V5",))
    assert refusal(variable) == "unreadable"


@pytest.mark.parametrize("damage", ["cut", "flip", "missing", "empty"])
@pytest.mark.parametrize("suffix", [".dat", ".hea"])
def test_damage_of_one_segment_is_damage_of_the_whole(fixed: Path, refusal, damage: str, suffix: str) -> None:
    path = fixed.with_name(f"rec_2{suffix}")
    content = bytearray(path.read_bytes())
    match damage:
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "flip":
            content[10] ^= 0x11
            path.write_bytes(content)
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
    reasons = {"cut": {"truncated"}, "flip": {"checksum", "unreadable", "mixed_rates"}, "missing": {"missing_file"}}
    assert refusal(fixed) in reasons.get(damage, {"truncated"})


def test_one_file_read_again_and_again_counts_against_the_limit(fixed: Path, refusal, segment: Write) -> None:
    """Without it, a small record of many segments would decode the many other signals of its file each time."""
    segment("rec_1", np.zeros((300, 1000), dtype=np.int64), ("I", *(f"other {number}" for number in range(999))))
    fixed.write_text("rec/60 1 500\n" + 60 * "rec_1 300\n")
    assert refusal(fixed) == "too_long"


def test_frames_of_several_samples(tmp_path: Path, read_one, counts) -> None:
    for name, part in (("rec_1", counts[:200, :2]), ("rec_2", counts[200:400, :2])):
        sums = part.sum(axis=0) % 65536
        lines = [f"{name}.dat 16x2 200 16 0 0 {sums[i]} 0 {lead}" for i, lead in enumerate(("I", "II"))]
        (tmp_path / f"{name}.hea").write_text("\n".join([f"{name} 2 250 100", *lines]))
        stored = part.reshape(100, 2, 2).transpose(0, 2, 1)
        (tmp_path / f"{name}.dat").write_bytes(stored.astype("<i2").tobytes())
    (tmp_path / "zz7.hea").write_text("rec/3 2 250 210\nrec_1 100\n~ 10\nrec_2 100\n")
    recording = read_one(tmp_path / "zz7.hea")
    assert isinstance(recording, Recording), recording
    assert recording.rate_hz == 500
    np.testing.assert_array_equal(recording.counts[:, :200], counts[:200, :2].T)
    assert (recording.counts[:, 200:220] == INVALID_COUNT).all()
    np.testing.assert_array_equal(recording.counts[:, 220:], counts[200:400, :2].T)


def test_segments_of_several_rates(tmp_path: Path, fixed: Path, refusal) -> None:
    path = tmp_path / "rec_2.hea"
    text = "rec_2 2 500 201\n" + "".join(f"rec_2.dat 8x2 200 16 0 0 0 0 {lead}\n" for lead in ("I", "II"))
    path.write_text(text)
    (tmp_path / "rec_2.dat").write_bytes(bytes(804))
    assert refusal(fixed) == "mixed_rates"


def test_segments_are_read_from_the_folder_of_the_record_only(fixed: Path) -> None:
    (source,) = find([fixed])
    outside = fixed.parent.parent / "rec_2.hea"
    fixed.with_name("rec_2.hea").rename(outside)
    fixed.write_text("rec/2 2 500 501\nrec_1 300\n../rec_2 201\n")
    assert getattr(read(source), "reason", None) == "truncated"
