"""Samples spelled out as text."""

import numpy as np
import pytest

from hemometric.vendors import number_text
from hemometric.vendors.number_text import read_integers, read_numbers
from hemometric.vendors.source import ReadError


def test_whole_numbers_stay_whole_however_they_are_written() -> None:
    for text in ("1 -2\t+3\r\n 04\n", "1.0 -2. 3e0 4"):
        found = read_numbers(text)
        assert found.dtype == np.int64
        assert found.tolist() == [1, -2, 3, 4]
    decimals = read_numbers("1 2.5 -1e-3")
    assert decimals.dtype == np.float64
    assert decimals.tolist() == [1, 2.5, -1e-3]
    assert read_numbers(" \n").size == read_integers("").size == 0
    assert read_numbers("1e300").dtype == np.float64


def test_parts_are_cut_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(0).integers(-9999, 9999, 1000)
    text = "  ".join(map(str, numbers))
    for chars in (1, 7, 100):
        monkeypatch.setattr(number_text, "_PART_CHARS", chars)
        np.testing.assert_array_equal(read_integers(text), numbers)


@pytest.mark.parametrize(
    "text",
    [
        "1 2 x",
        "1,2",
        "1_0",
        "nan 1",
        "1e999",
        "inf",
        "--1",
        "1-2",
        "\u0661",
        "1 2 \x00",
        "0x1",
        "9" * 20,
        "9" * 9999,
        "1.2.3",
    ],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ReadError) as error:
        read_integers(text)
    assert error.value.reason == "unreadable"
    with pytest.raises(ReadError):
        read_numbers(text)


def test_more_than_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(number_text, "MAX_VALUES", 3)
    assert read_integers("1 2 3").size == 3
    with pytest.raises(ReadError, match="more than 3"):
        read_integers("1 2 3 4")
