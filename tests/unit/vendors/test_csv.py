"""CSV files of one ECG each: names, units, times, signs of decimals, and tables that are no ECG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from hemometric.ecg import LEADS, Recording, Rejected
from hemometric.vendors import find, read_all
from hemometric.vendors.csv_format import CsvConfig


def ecg(num_samples: int = 200) -> np.ndarray:
    """Float [sample, lead] mV with three decimals."""
    return np.round(np.random.default_rng(2).uniform(-1, 1, (num_samples, 12)), 3)


def text_of(rows: np.ndarray, names: Sequence[str] | None = LEADS, sign: str = ",") -> str:
    lines = [] if names is None else [sign.join(names)]
    return "\n".join([*lines, *(sign.join(f"{value:g}" for value in row) for row in rows)]) + "\n"


def read_text(folder: Path, content: str | bytes, name: str = "a.csv", **fields: Any) -> Recording | Rejected:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    vendors = (CsvConfig(**{"rate_hz": 500, "unit": "mV"} | fields).build(),)
    (one,) = read_all(list(find([path], vendors)), vendors)
    if isinstance(one, Rejected):
        assert "/tmp" not in one.detail
        assert "Canaria" not in one.detail
    return one


def reason(one: Recording | Rejected) -> str:
    return one.reason if isinstance(one, Rejected) else "read"


def same(one: Recording | Rejected, expected: np.ndarray) -> bool:
    assert isinstance(one, Recording), one
    assert one.signal.shape == expected.T.shape
    return bool(np.abs(one.signal - expected.T).max() <= one.quantisation_error_mv + 1e-6)


def test_names_of_the_first_line(tmp_path: Path) -> None:
    one = read_text(tmp_path, text_of(ecg()))
    assert same(one, ecg())
    assert (one.key, one.leads, one.rate_hz) == (f"{tmp_path.name}/a.csv", LEADS, 500.0)  # type: ignore[union-attr]


def test_names_in_any_order_and_other_columns_left_out(tmp_path: Path) -> None:
    names = ["patient", "DII", "Lead V1", "avr", "MLII"]
    rows = [",".join(["Canaria Quxabella", *(str(value) for value in row)]) for row in ecg()[:, :4]]
    one = read_text(tmp_path, "\n".join([",".join(names), *rows]))
    assert isinstance(one, Recording)
    assert one.leads == ("II", "V1", "aVR")
    assert same(one, ecg()[:, :3])


def test_names_of_the_config_where_there_is_no_line_of_names(tmp_path: Path) -> None:
    names = ("I", "x", *LEADS[2:])
    one = read_text(tmp_path, text_of(ecg(), None), columns=names)
    assert same(one, np.delete(ecg(), 1, axis=1))
    one = read_text(tmp_path, "made by a device\n\n" + text_of(ecg(), None), columns=LEADS, skip_lines=2)
    assert same(one, ecg())


def test_lines_before_the_names(tmp_path: Path) -> None:
    assert same(read_text(tmp_path, "Name: Canaria\n\n" + text_of(ecg()), skip_lines=2), ecg())


def test_whole_numbers_are_native_counts(tmp_path: Path) -> None:
    counts = np.rint(ecg() * 1000).astype(int)
    one = read_text(tmp_path, text_of(counts), unit="uV", counts_per_unit=0.5)
    assert isinstance(one, Recording)
    assert np.array_equal(one.counts, counts.T)
    assert (one.gain_per_mv.tolist(), one.quantisation_error_mv) == ([500.0] * 12, 0.0)


def test_semicolons_decimal_commas_a_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    content = text_of(ecg(), sign=";").replace(".", ",").replace("\n", "\r\n")
    assert same(read_text(tmp_path, b"\xef\xbb\xbf" + content.encode(), delimiter=";", decimal=","), ecg())
    assert same(read_text(tmp_path, text_of(ecg(), sign="\t"), name="a.tsv", suffix=".tsv", delimiter="\t"), ecg())


def test_empty_cells_are_no_samples(tmp_path: Path) -> None:
    lines = text_of(ecg()).splitlines()
    lines[8] = ",".join(["", "NaN", *lines[8].split(",")[2:]])
    one = read_text(tmp_path, "\n".join(lines))
    assert isinstance(one, Recording)
    assert np.argwhere(np.isnan(one.signal)).tolist() == [[0, 7], [1, 7]]
    one = read_text(tmp_path, "I,II\n" + "1,\n" * 50)
    assert isinstance(one, Recording)
    assert np.isnan(one.signal[1]).all()


def with_times(seconds: np.ndarray) -> str:
    return text_of(np.column_stack([seconds, ecg()]), ["t", *LEADS])


def test_the_rate_of_a_column_of_times(tmp_path: Path) -> None:
    seconds = np.arange(200) / 250
    one = read_text(tmp_path, with_times(seconds), rate_hz=None, time="t")
    assert same(one, ecg())
    assert one.rate_hz == 250.0  # type: ignore[union-attr]
    one = read_text(tmp_path, with_times(np.round(seconds * 1000)), rate_hz=None, time="t", time_unit="ms")
    assert one.rate_hz == 250.0  # type: ignore[union-attr]
    one = read_text(tmp_path, with_times(np.round(np.arange(200) / 360, 3)), rate_hz=360, time="t")
    assert one.rate_hz == 360  # type: ignore[union-attr] # rounded times agree with the rate that is given


@pytest.mark.parametrize(
    ("seconds", "fields", "expected"),
    [
        (np.arange(200) / 250, {}, "rate_contradiction"),
        (np.arange(200) / 250, {"time_unit": "ms"}, "rate_contradiction"),
        (np.where(np.arange(200) < 100, 0, 3) + np.arange(200) / 500, {"rate_hz": None}, "rate_uneven"),
        (np.zeros(200), {}, "rate_missing"),
        (-np.arange(200) / 500, {}, "rate_missing"),
        (np.full(200, np.nan), {}, "rate_missing"),
        (np.arange(200) / 1e8, {"rate_hz": None}, "rate_range"),
    ],
)
def test_times_that_tell_no_rate(seconds: np.ndarray, fields: dict, expected: str, tmp_path: Path) -> None:
    content = text_of(np.column_stack([seconds * 1.0, ecg()]), ["t", *LEADS]).replace("e-0", "e-0")
    assert reason(read_text(tmp_path, content, time="t", **fields)) == expected


@pytest.mark.parametrize(
    ("content", "fields", "expected"),
    [
        ("", {}, "truncated"),
        ("I,II\n", {}, "truncated"),
        ("I,II", {}, "truncated"),
        ("x,y\n1,2\n", {}, "no_standard_lead"),
        ("record,age,sex\n1,2,3\n", {}, "no_standard_lead"),
        ("I,DI\n1,2\n", {}, "duplicate_lead"),
        ("I,II\n1,Canaria\n", {}, "unreadable"),
        ("I,II\n1,2\n3\n", {}, "unreadable"),
        ("I,II\n1,2,3\n", {}, "unreadable"),
        ("I,II\n1,2019-11-05\n", {}, "unreadable"),
        ("I,II\n1,true\n", {}, "unreadable"),
        ("I,II\n1,inf\n", {}, "unreadable"),
        ("I,II\n1,1e300\n", {}, "unreadable"),
        ('I,II\n1,"2\n', {}, "unreadable"),
        ("I,II\n1,2\n", {"time": "t"}, "rate_missing"),
        ("I,t,t\n1,2,3\n", {"time": "t"}, "rate_missing"),
        ("I,II\n1,2\n", {"columns": ("I", "II", "III")}, "unreadable"),
        ("I,II\n1,2\n", {"skip_lines": 9}, "truncated"),
        (",".join(["I"] * 2000) + "\n1\n", {}, "unsupported"),
        (b"\xff\xfeI\0,\0I\0I\0\n\0", {}, "no_standard_lead"),
        (b"I,II\n1,\xff\n", {}, "unreadable"),
    ],
)
def test_text_that_is_no_ecg(content: str | bytes, fields: dict, expected: str, tmp_path: Path) -> None:
    assert reason(read_text(tmp_path, content, **fields)) == expected


def test_a_text_of_too_many_samples_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    content = "I" + ",x" * 1000 + "\n" + "\n" * (1 << 16)
    assert reason(read_text(tmp_path, content)) == "too_long"


def test_a_table_is_not_recognised_as_an_ecg(tmp_path: Path) -> None:
    vendor = CsvConfig(unit="mV", rate_hz=500).build()
    assert not vendor.sniff(tmp_path / "labels.csv", b"record,age,sex\na,56,F\n")
    assert vendor.sniff(tmp_path / "ECG.CSV", b"time,II\n0,0.1\n")
    assert not vendor.sniff(tmp_path / "ecg.hea", b"I,II\n0,0.1\n")


@pytest.mark.parametrize(
    "fields",
    [
        {"rate_hz": None},
        {"delimiter": ",", "decimal": ","},
        {"delimiter": "ab"},
        {"suffix": "csv"},
        {"columns": ("a", "b")},
        {"time": "t", "time_unit": "h"},
    ],
)
def test_configs_that_cannot_be_meant(fields: dict) -> None:
    with pytest.raises(ValidationError):
        CsvConfig(**{"rate_hz": 500, "unit": "mV"} | fields)
