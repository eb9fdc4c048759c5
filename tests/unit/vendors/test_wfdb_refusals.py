"""Whatever a header or a signal file gets wrong is a `Rejected` with its own reason; nothing is assumed or fetched."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest

from hemometric.ecg import LEADS, Recording, Rejected
from hemometric.vendors import find, read

LINE = "rec.dat 16 200 16 0 0 0 0 I"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "truncated"),
        ("# only a comment\n", "truncated"),
        (b"\x00\x01\x02", "unreadable"),
        (b"\xff\xfe\xfd", "unreadable"),
        ("hello", "unreadable"),
        (f"rec.mat 1 500 1200\n{LINE}", "record_name"),
        (f"rec x 500 1200\n{LINE}", "unreadable"),
        (f"rec 1 -500 1200\n{LINE}", "unreadable"),
        (f"rec 1 nan 1200\n{LINE}", "unreadable"),
        (f"rec 1 500 {'9' * 400}\n{LINE}", "unreadable"),
        ("rec 1 500 1200\nrec.dat", "unreadable"),
        ("rec 1 500 1200\nrec.dat 16 1e999 16 0 0 0 0 I", "unreadable"),
        ("rec 1 500 1200\nrec.dat 16x0 200 16 0 0 0 0 I", "unreadable"),
        (f"rec 1 500 600\n{LINE}\n{LINE}I", "unreadable"),
        (f"rec 2 500 600\n{LINE}", "truncated"),
        (f"rec 2 500 600\n{LINE}\nrec.dat 16 200 16 0", "truncated"),
        ("rec 999999 500 600\n", "too_long"),
        ("rec 0 500 600\n", "no_standard_lead"),
        (f"rec 1 0 1200\n{LINE}", "rate_missing"),
        (f"rec 1\n{LINE}", "rate_missing"),
        (f"rec 1 1e999 1200\n{LINE}", "rate_missing"),
        (f"rec 1 500 1000000000000\n{LINE}", "too_long"),
        (f"rec 1 500 1201\n{LINE}", "truncated"),
        ("rec 1 500 1200\nrec.dat 16+99999999999 200 16 0 0 0 0 I", "truncated"),
        ("rec 1 500 1200\nrec.dat 16+24 200 16 0 0 0 0 I", "truncated"),
        ("rec 1 500 1200\nrec.dat 16 200 16 0 0 1 0 I", "checksum"),
        ("rec 1 500 1200\nrec.dat 16 0 16 0 0 0 0 I", "gain_zero"),
        ("rec 1 500 1200\nrec.dat 16 0.0(0)/mV 16 0 0 0 0 I", "gain_zero"),
        ("rec 1 500 1200\nrec.dat 16 0e5/mV 16 0 0 0 0 I", "gain_zero"),
        ("rec 1 500 1200\nrec.dat 16 1e-300 16 0 0 0 0 I", "gain_range"),
        ("rec 1 500 1200\nrec.dat 16 1e300/nV 16 0 0 0 0 I", "gain_range"),
        (f"rec 1 1e-300 1200\n{LINE}", "rate_range"),
        (f"rec 1 1e300 1200\n{LINE}", "rate_range"),
        ("rec 1 500 1200\nrec.dat 16 -200 16 0 0 0 0 I", "gain_negative"),
        ("rec 1 500 1200\nrec.dat 16 200/mmHg 16 0 0 0 0 I", "unknown_unit"),
        ("rec 1 500 1200\nrec.dat 16 200/NU 16 0 0 0 0 I", "unknown_unit"),
        ("rec 1 500 1200\nrec.dat 16", "no_standard_lead"),
        ("rec 1 500 1200\nrec.dat 16 200 16 0 0 0 0 MLII", "no_standard_lead"),
        ("rec 2 500 600\nrec.dat 16 200 16 0 0 0 0 avr\nrec.dat 16 200 16 0 0 0 0 AVR", "duplicate_lead"),
        ("rec 2 500 600\nrec.dat 16 200 16 0 0 0 0 I\nrec.dat 212 200 16 0 0 0 0 II", "unreadable"),
        ("rec 2 500 600\nrec.dat 16 200 16 0 0 0 0 I\nrec.dat 16+24 200 16 0 0 0 0 II", "unreadable"),
        ("rec 1 500 1200\nrec.dat 516 200 16 0 0 0 0 I", "unreadable"),
        ("rec 1 500 1200\nrec.dat 213 200 16 0 0 0 0 I", "unsupported"),
        ("rec 1 500 1200\n~ 0 200 16 0 0 0 0 I", "no_standard_lead"),
        ("rec 2 500 400\nrec.dat 16x2 200 16 0 0 0 0 I\nrec.dat 16 200 16 0 0 0 0 II", "mixed_rates"),
        ("rec/2 1 500 1200\nrec_1 600\nrec_2 600\n", "missing_file"),
        ("rec 1 500 1200\nother.dat 16 200 16 0 0 0 0 I", "missing_file"),
    ],
)
def test_bad_headers(write_text, refusal, text: str | bytes, reason: str) -> None:
    assert refusal(write_text(text)) == reason


@pytest.mark.parametrize(
    "file",
    [
        "../secret.dat", "/etc/passwd", "sub/secret.dat", "..", ".", "~", "-", "http://example.org/rec.dat",
        "s3://bucket/rec.dat", "file:///etc/passwd", "C:\\rec.dat", "a\\b.dat", "rec.dat;x", "r\u00e9c.dat", "|cat",
        "%2e%2e", "x" * 300,
    ],
)  # fmt: skip
def test_names_that_leave_the_folder_are_never_opened(tmp_path: Path, monkeypatch, refusal, file: str) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    (tmp_path / "secret.dat").write_bytes(bytes(2400))
    (folder / "sub").mkdir()
    (folder / "sub" / "secret.dat").write_bytes(bytes(2400))
    (folder / "rec.hea").write_text(f"rec 1 500 1200\n{file} 16 200 16 0 0 0 0 I\n")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    assert refusal(folder / "rec.hea") in {"unsafe_name", "missing_file"}


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_cut_files(write_record, refusal, read_one, share: float) -> None:
    header = write_record()
    content, samples = header.read_bytes(), header.with_suffix(".dat").read_bytes()
    header.with_suffix(".dat").write_bytes(samples[: int(share * len(samples))])
    assert refusal(header) == "truncated"
    header.with_suffix(".dat").write_bytes(samples)
    header.write_bytes(content[: int(share * len(content))])
    result = read_one(header)
    # A cut within the last lead's name leaves eleven leads that are whole: the quality gate misses the twelfth.
    assert isinstance(result, Rejected) if share < 0.99 else "V6" not in getattr(result, "leads", ())


def test_one_flipped_bit_in_the_samples_is_found(write_record, refusal) -> None:
    header = write_record(storage="212")
    content = bytearray(header.with_suffix(".dat").read_bytes())
    content[100] ^= 0x10
    header.with_suffix(".dat").write_bytes(content)
    assert refusal(header) == "checksum"


def test_a_gain_of_zero_in_a_signal_that_is_no_lead_does_not_matter(write_text, read_one) -> None:
    text = "rec 2 500 600\nrec.dat 16 200 16 0 0 0 0 I\nrec.dat 16 0/NU 16 0 0 0 0 status\n"
    assert isinstance(read_one(write_text(text)), Recording)


def test_a_pipe_or_a_folder_in_place_of_a_file_does_not_hang(tmp_path: Path, refusal) -> None:
    (tmp_path / "rec.hea").write_text(f"rec 1 500 1200\n{LINE}\n")
    os.mkfifo(tmp_path / "rec.dat")
    assert refusal(tmp_path / "rec.hea") == "unreadable"
    (tmp_path / "rec.dat").unlink()
    (tmp_path / "rec.dat").mkdir()
    assert refusal(tmp_path / "rec.hea") == "unreadable"
    os.mkfifo(tmp_path / "pipe.hea")
    assert refusal(tmp_path / "pipe.hea") == "unreadable"


def test_a_huge_header_is_not_read(write_text, refusal) -> None:
    assert refusal(write_text("#" + "x" * (1 << 20) + f"\nrec 1 500 1200\n{LINE}\n")) == "too_long"


def test_a_sparse_giant_without_a_length_is_not_read(write_text, refusal, tmp_path: Path) -> None:
    header = write_text(f"rec 1 500\n{LINE}\n")
    with (tmp_path / "rec.dat").open("r+b") as file:
        file.truncate(1 << 40)
    assert refusal(header) == "too_long"


def test_long_lines_of_blanks_and_digits_are_read_at_once(write_text, refusal) -> None:
    for filler in (" " * 500_000, "1" * 500_000, "1 " * 250_000, "\t(" * 250_000, "1." * 250_000):
        for text in (f"rec 1 500{filler}x\n{LINE}", f"rec 1 500 1200\nrec.dat 16 200{filler}"):
            assert refusal(write_text(text))


def test_details_hold_no_text_of_the_file(write_text, tmp_path: Path) -> None:
    secret = "Maria-Mustermann"
    texts = [
        f"{secret} 1 500 1200\n{secret}.dat 16 200 16 0 0 0 0 I\n",
        f"{secret} 1 500 1200\n../{secret} 16 200 16 0 0 0 0 I\n",
        f"{secret} 1 500 1200\n{LINE} {secret}\n",
        f"{secret} 1 500 1200\nrec.dat 16 200/{secret} 16 0 0 0 0 I\n# Name: {secret}\n",
        f"{secret}\n",
        f"rec 1 500 1200\n{secret}\n",
    ]
    for text in texts:
        (source,) = find([write_text(text)])
        result = read(source)
        assert isinstance(result, Rejected)
        assert secret not in result.detail


def test_swapped_bytes_of_two_records_are_found(write_record, refusal, counts) -> None:
    first = write_record("one")
    second = write_record("two", samples=np.roll(counts, 1, axis=1), sig_name=list(LEADS))
    first.with_suffix(".dat").write_bytes(second.with_suffix(".dat").read_bytes())
    assert refusal(first) == "checksum"
