"""Numbers, gains and offsets as every reader takes them."""

import math

import pytest

from hemometric.vendors.scale import checked_offset_counts, number_from_text
from hemometric.vendors.source import ReadError


@pytest.mark.parametrize(
    ("text", "value"),
    [("1.25", 1.25), (" -.5 ", -0.5), ("+3.", 3.0), ("1E-3", 1e-3), ("0", 0.0), ("\x1c4", 4.0)]
    + [(text, None) for text in ("", "nan", "inf", "1_000", "1,5", "0x10", "1e999", "9" * 999, "\u0665", "1 2", "-")],
)
def test_a_number_is_decimal(text: str, value: float | None) -> None:
    assert number_from_text(text) == value


@pytest.mark.parametrize("offset_counts", [2.1e8, -2.1e8, math.inf, math.nan])
def test_an_offset_of_a_kilovolt_is_refused(offset_counts: float) -> None:
    assert checked_offset_counts(1.9e8, 200.0, "I") == 1.9e8
    with pytest.raises(ReadError) as refused:
        checked_offset_counts(offset_counts, 200.0, "I")
    assert refused.value.reason == "offset_range"
