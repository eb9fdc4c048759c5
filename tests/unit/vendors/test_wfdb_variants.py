"""Less common ways to store samples: FLAC, ten bits, skew, several files and rates; `wfdb` is the oracle."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import wfdb

from hemometric.ecg import INVALID_COUNT, LEADS, Recording

SUBTYPES = {508: "PCM_S8", 516: "PCM_16", 524: "PCM_24"}


def assert_equals_wfdb(recording: Recording, header: Path) -> None:
    """Compare each lead with what the package gives, sample by sample."""
    oracle = wfdb.rdrecord(str(header.with_suffix("")), smooth_frames=False)
    for lead, row in zip(recording.leads, recording.signal, strict=True):
        expected = oracle.e_p_signal[oracle.sig_name.index(lead)]
        np.testing.assert_allclose(row, expected, atol=1e-5, rtol=3e-7, equal_nan=True, err_msg=lead)


def lines(file: str, storage: object, samples: np.ndarray, leads: tuple[str, ...] = LEADS) -> list[str]:
    """Describe the columns of int [sample, lead]."""
    sums = samples.astype(np.int64).sum(axis=0) % 65536
    return [f"{file} {storage} 200(3)/mV 16 0 0 {total} 0 {lead}" for total, lead in zip(sums, leads, strict=False)]


def flac(samples: np.ndarray, bits: int) -> bytes:
    """Write int [sample, channel] as a stream of that many bits."""
    stream = io.BytesIO()
    shifted = (samples.astype(np.int64) << (32 - bits)).astype(np.int32)
    soundfile.write(stream, shifted, 96000, subtype=SUBTYPES[500 + bits], format="FLAC")
    return stream.getvalue()


@pytest.mark.parametrize("storage", [508, 516, 524])
@pytest.mark.parametrize("num_leads", [1, 3, 8])
def test_flac(write_record, read_one, counts, storage: int, num_leads: int) -> None:
    samples = counts[:, :num_leads].copy()
    samples = np.clip(samples, -127, 127) if storage == 508 else samples * (4000 if storage == 524 else 1)
    samples[7:9, 0] = -(2 ** (storage - 501))
    header = write_record(storage=str(storage), samples=samples)
    recording = read_one(header)
    assert isinstance(recording, Recording), recording
    assert (recording.counts[0, 7:9] == INVALID_COUNT).all()
    assert np.isnan(recording.signal).sum() == 2
    oracle = wfdb.rdrecord(str(header.with_suffix(""))).p_signal.T
    np.testing.assert_allclose(recording.signal, oracle, atol=recording.quantisation_error_mv + 1e-5, rtol=3e-7)


def test_flac_with_samples_before_the_first_and_several_in_a_frame(write_text, read_one, counts) -> None:
    samples = counts[:500, :2]
    text = lines("rec.dat", "516x4+100", samples[100:])
    for first in ("rec 2 125", "rec 2 125 100"):
        header = write_text("\n".join([first, *text]), dat=flac(samples, 16))
        recording = read_one(header)
        assert isinstance(recording, Recording), recording
        assert recording.rate_hz == 500
        np.testing.assert_array_equal(recording.counts, samples[100:].T)
    assert_equals_wfdb(recording, header)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda stream: b"RIFF" + stream[4:], "unreadable"),
        (lambda stream: stream[:30], "truncated"),
        (lambda stream: stream[: len(stream) // 2], "unreadable"),
        (lambda stream: b"", "truncated"),
        (lambda stream: stream[:4] + b"\x04" + stream[5:], "unreadable"),
        (lambda stream: stream[:21] + bytes([stream[21] & 0xF0]) + bytes(4) + stream[26:], "unsupported"),  # no length
        (lambda stream: stream[:21] + bytes([stream[21] | 0x0F]) + b"\xff" * 4 + stream[26:], "too_long"),
        (lambda stream: stream[:26] + bytes([stream[26] ^ 1]) + stream[27:], "checksum"),
    ],
)
def test_damaged_flac(write_text, refusal, counts, damage, reason: str) -> None:
    text = "\n".join(["rec 2 500 501", *lines("rec.dat", 516, counts[:, :2])])
    assert refusal(write_text(text, dat=damage(flac(counts[:, :2], 16)))) == reason


@pytest.mark.parametrize(
    ("first", "storage", "num_channels", "bits", "reason"),
    [
        ("rec 2 500 501", "516", 1, 16, "unreadable"),
        ("rec 2 500 501", "516", 3, 16, "unreadable"),
        ("rec 2 500 501", "516", 2, 24, "unreadable"),
        ("rec 2 500 502", "516", 2, 16, "truncated"),
        ("rec 2 500 501", "516+1", 2, 16, "truncated"),
        ("rec 2 500", "516+501", 2, 16, "truncated"),
        ("rec 2 500 16777215", "516", 2, 16, "too_long"),
    ],
)
def test_flac_that_is_not_what_the_header_says(
    write_text, refusal, counts, first: str, storage: str, num_channels: int, bits: int, reason: str
) -> None:
    stream = flac(counts[:, :num_channels], bits)
    text = "\n".join([first, *lines("rec.dat", storage, counts[:, :2])])
    assert refusal(write_text(text, dat=stream)) == reason


def test_signals_of_a_flac_stream_have_one_rate(write_text, refusal, counts) -> None:
    text = "rec 2 500 250\nrec.dat 516x2 200 16 0 0 0 0 I\nrec.dat 516 200 16 0 0 0 0 other\n"
    assert refusal(write_text(text, dat=flac(counts[:500, :2], 16))) == "unreadable"


def packed(samples: np.ndarray, storage: int) -> bytes:
    """Pack ten-bit samples, by the words of the specification: three in 32 bits."""
    padded = np.zeros(-(-samples.size // 3) * 3, dtype=np.int64)
    padded[: samples.size] = samples.reshape(-1) & 0x3FF
    first, second, third = padded.reshape(-1, 3).T
    if storage == 311:
        words = first | second << 10 | third << 20
    else:
        words = (first << 1 | (third & 0x1F) << 11) | (second << 1 | third >> 5 << 11) << 16
    content = words.astype("<u4").tobytes()
    ends = {0: 0, 1: -2, 2: 0 if storage == 310 else -1}  # bytes that no sample needs
    return content[: ends[samples.size % 3] or None]


@pytest.mark.parametrize("storage", [310, 311])
@pytest.mark.parametrize("num_leads", [1, 2, 3])
@pytest.mark.parametrize("num_samples", [300, 301, 302])
def test_ten_bits(write_text, read_one, refusal, counts, storage: int, num_leads: int, num_samples: int) -> None:
    samples = np.clip(counts[:num_samples, :num_leads], -511, 511)
    samples[5, 0] = -512
    content = packed(samples, storage)
    for length in ("", f" {num_samples}"):
        text = "\n".join([f"rec {num_leads} 500{length}", *lines("rec.dat", storage, samples)])
        recording = read_one(write_text(text, dat=content))
        assert isinstance(recording, Recording), recording
        found = recording.counts[:, :num_samples].T  # of bytes alone, a last sample that is missing cannot be told
        np.testing.assert_array_equal(found, np.where(samples == -512, INVALID_COUNT, samples))
    header = write_text(text, dat=content)
    assert_equals_wfdb(recording, header)
    assert refusal(write_text(text, dat=content[:-1])) == "truncated"


@pytest.mark.parametrize("storage", ["16", "212", "16x2"])
def test_skew_moves_a_lead_by_whole_frames(write_text, read_one, counts, storage: str) -> None:
    per_frame = 2 if storage == "16x2" else 1
    samples = counts[:400, :2]
    text = lines("rec.dat", storage, samples)
    text[1] = text[1].replace(f" {storage} ", f" {storage}:7 ", 1)
    stored = samples.reshape(-1, per_frame, 2).transpose(0, 2, 1).reshape(-1)
    if storage == "212":
        first, second = stored.reshape(-1, 2).T & 0xFFF
        content = (
            (first | second >> 8 << 12 | (second & 0xFF) << 16)
            .astype("<u4")
            .view(np.uint8)
            .reshape(-1, 4)[:, :3]
            .tobytes()
        )
    else:
        content = stored.astype("<i2").tobytes()
    header = write_text("\n".join([f"rec 2 500 {400 // per_frame}", *text]), dat=content)
    recording = read_one(header)
    assert isinstance(recording, Recording), recording
    num_moved = 7 * per_frame
    np.testing.assert_array_equal(recording.counts[0], samples[:, 0])
    np.testing.assert_array_equal(recording.counts[1, :-num_moved], samples[num_moved:, 1])
    assert (recording.counts[1, -num_moved:] == INVALID_COUNT).all()
    if per_frame == 1:  # of frames with several samples the package marks too few as missing
        assert_equals_wfdb(recording, header)


def test_a_skew_beyond_the_end_leaves_nothing(write_text, read_one) -> None:
    recording = read_one(write_text("rec 1 500 1200\nrec.dat 16:999999999 200 16 0 0 0 0 I\n"))
    assert isinstance(recording, Recording), recording
    assert (recording.counts == INVALID_COUNT).all()


def test_other_signals_of_other_rates_do_not_matter(write_text, read_one, counts) -> None:
    leads, other = counts[:400, :2], counts[:100, 5]
    frames = np.concatenate([leads.reshape(100, 4, 2).transpose(0, 2, 1).reshape(100, 8), other[:, None]], axis=1)
    text = ["rec 3 125 100", *lines("rec.dat", "16x4", leads), *lines("rec.dat", "16", other[:, None], ("Resp",))]
    header = write_text("\n".join(text), dat=frames.astype("<i2").tobytes())
    recording = read_one(header)
    assert isinstance(recording, Recording), recording
    assert (recording.rate_hz, recording.leads) == (500.0, ("I", "II"))
    np.testing.assert_array_equal(recording.counts, leads.T)
    assert_equals_wfdb(recording, header)


def test_several_files_of_several_formats(write_text, read_one, refusal, tmp_path: Path, counts) -> None:
    (tmp_path / "rec.xyz").write_bytes(b"never read")
    (tmp_path / "rec.chest").write_bytes((counts[:, 6:9] + 2**15).astype("<u2").tobytes())
    text = lines("rec.dat", "16", counts[:, :3])
    text += lines("rec.chest", "160", counts[:, 6:9], ("V1", "V2", "V3"))
    text += [f"rec.xyz 16 2000 16 0 0 0 0 {name}" for name in ("vx", "vy", "vz")]
    content = counts[:, :3].astype("<i2").tobytes()
    for first in ("rec 9 1000 501", "rec 9 1000"):
        recording = read_one(write_text("\n".join([first, *text]), dat=content))
        assert isinstance(recording, Recording), recording
        assert recording.leads == ("I", "II", "III", "V1", "V2", "V3")
        np.testing.assert_array_equal(recording.counts, counts[:, [0, 1, 2, 6, 7, 8]].T)
    assert refusal(write_text("\n".join(["rec 9 1000", *text]), dat=content[6:])) in ("truncated", "checksum")


def test_leads_that_are_declared_absent_are_left_out(write_text, read_one) -> None:
    recording = read_one(write_text("rec 2 500 1200\nrec.dat 16 200 16 0 0 0 0 I\n~ 0 200 16 0 0 0 0 II\n"))
    assert isinstance(recording, Recording), recording
    assert recording.leads == ("I",)
