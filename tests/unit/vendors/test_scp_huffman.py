"""Huffman tables and streams of SCP-ECG."""

import importlib.util
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from hemometric.vendors.scp_huffman import decode, make_table, parse_tables
from hemometric.vendors.source import ReadError

FILE = Path(__file__).parents[2] / "vendor_files" / "scp_ecg.py"
SPEC = importlib.util.spec_from_file_location("scp_ecg_file", FILE)
assert SPEC is not None and SPEC.loader is not None
scp = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(scp)


def test_the_example_of_the_standard() -> None:
    """Annex C of EN 1064: 28 samples as second differences in the standard's code."""
    stream = bytes.fromhex("FF837FE0E6F1536559B65B964B9600")
    samples = [13, 14, 15, 14, 16, 18, 19, 20, 22, 22, 23, 23, 23, 22, 22, 20, 17, 15, 12, 8, 6, 3, 1]
    samples += [0, -2, -2, -3, -3]
    coded = decode(stream, parse_tables(struct.pack("<H", 19999)), len(samples))
    assert np.array_equal(coded, scp.differences(np.array(samples), 2))
    assert scp.huffman(coded)[: len(stream) - 1] == stream[:-1]


def test_a_stream_may_change_between_tables() -> None:
    # Table 1: 0 is 5, 10 changes to table 2, 11 announces 6 bits. Table 2: 1 is -3, 01 is 9, 00 changes back.
    first = [(1, 1, 1, 5, 0b0), (2, 2, 0, 2, 0b01), (2, 8, 1, 0, 0b11)]
    second = [(1, 1, 1, -3, 0b1), (2, 2, 1, 9, 0b10), (2, 2, 0, 1, 0b00)]
    content = struct.pack("<H", 2)
    for table in (first, second):
        content += struct.pack("<H", len(table)) + b"".join(struct.pack("<BBBhI", *code) for code in table)
    stream = scp.from_bits("010101100111000000100011011111")
    assert decode(stream, parse_tables(content), 8).tolist() == [5, -3, 9, -3, -32, 5, 31, 5]


def test_words_with_any_prefix_are_found_wherever_they_begin() -> None:
    draw = np.random.default_rng(1)
    # A ladder: 1, 01, 001, ... down to 32 bits, each prefix with its own length of number behind it.
    codes = [(size, size + size % 17, 1, 0 if size % 17 else 7, 1 << (size - 1)) for size in range(1, 33)]
    table = make_table(codes, 1)
    bits, expected = "", []
    for size in draw.integers(1, 33, 500).tolist():
        bits += "0" * (size - 1) + "1"
        num_bits = size % 17
        value = int(draw.integers(-(2 ** (num_bits - 1)), 2 ** (num_bits - 1))) if num_bits else 7
        bits += f"{value & (2**num_bits - 1):0{num_bits}b}" if num_bits else ""
        expected.append(value)
    assert decode(scp.from_bits(bits), [table], 500).tolist() == expected


CODE = struct.Struct("<BBBhI")


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        (b"", "truncated"),
        (struct.pack("<H", 1), "truncated"),
        (struct.pack("<HH", 1, 2) + CODE.pack(1, 1, 1, 0, 0), "truncated"),
        (struct.pack("<HH", 1, 0), "unreadable"),
        (struct.pack("<HH", 1, 2) + 2 * CODE.pack(1, 1, 1, 0, 0), "unreadable"),
        (struct.pack("<HH", 1, 2) + CODE.pack(1, 1, 1, 0, 1) + CODE.pack(3, 3, 1, 0, 0b011), "unreadable"),
        (struct.pack("<HH", 1, 1) + CODE.pack(0, 0, 1, 0, 0), "unreadable"),
        (struct.pack("<HH", 1, 1) + CODE.pack(33, 33, 1, 0, 0), "unreadable"),
        (struct.pack("<HH", 1, 1) + CODE.pack(2, 1, 1, 0, 0), "unreadable"),
        (struct.pack("<HH", 1, 1) + CODE.pack(1, 1, 1, 0, 2), "unreadable"),
        (struct.pack("<HH", 1, 1) + CODE.pack(1, 1, 0, 2, 0), "unreadable"),
        (struct.pack("<HH", 1, 1) + CODE.pack(1, 1, 0, 0, 0), "unreadable"),
        (struct.pack("<HH", 1, 1) + CODE.pack(1, 9, 1, 4, 0), "unsupported"),
        (struct.pack("<HH", 1, 1) + CODE.pack(1, 18, 1, 0, 0), "unsupported"),
        (struct.pack("<HH", 1, 1) + CODE.pack(1, 1, 2, 0, 0), "unsupported"),
        (struct.pack("<H", 500), "unsupported"),
    ],
)
def test_tables_that_make_no_code_are_refused(section: bytes, reason: str) -> None:
    with pytest.raises(ReadError) as refusal:
        parse_tables(section)
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    ("stream", "num_values"),
    [(b"", 1), (b"\xff\xc0", 1), (b"\x00", 9), (b"\xff\x80", 1), (b"\x00" * 20 + b"\xff\xff\xff\x80", 168)],
)
def test_a_stream_that_ends_within_a_code_is_refused(stream: bytes, num_values: int) -> None:
    with pytest.raises(ReadError) as refusal:
        decode(stream, parse_tables(struct.pack("<H", 19999)), num_values)
    assert refusal.value.reason == "truncated"


def test_bits_that_are_no_code_are_refused() -> None:
    table = make_table([(1, 1, 1, 4, 0b0), (2, 2, 1, 5, 0b01)], 1)  # 11 is not there
    assert decode(b"\x40", [table], 4).tolist() == [4, 5, 4, 4]
    with pytest.raises(ReadError):
        decode(b"\x60", [table], 4)


def test_the_worst_stream_is_decoded_in_time() -> None:
    """The longest that a lead can have, one bit a sample, in the most tables that are read."""
    table = struct.pack("<H", 2) + CODE.pack(1, 1, 1, 0, 0) + CODE.pack(1, 1, 0, 2, 1)
    tables = parse_tables(struct.pack("<H", 4) + 4 * table)
    began = time.process_time()
    assert decode(bytes(65535), tables, 8 * 65535).size == 8 * 65535
    assert decode(b"\x55" * 65535, tables, 4 * 65535).size == 4 * 65535
    assert time.process_time() - began < 5.0
