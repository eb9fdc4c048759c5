"""Units: known factors, spellings, and nothing guessed."""

from __future__ import annotations

import doctest

import pytest

from hemometric.corpus import quantities
from hemometric.corpus.quantities import factor


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("kPa", "mmHg", 7.50062),
        ("cmH2O", "mmHg", 0.735559),
        ("cm[H2O]", "mm[Hg]", 0.735559),
        ("hPa", "kPa", 0.1),
        ("mm Hg", "mmHg", 1),
        ("Torr", "mmHg", 1),
        ("mL/min", "L/min", 0.001),
        ("L/s", "l / min", 60),
        ("L/min/m²", "l/min/m2", 1),
        ("liters/min", "L/min", 1),
        ("dyn·s·cm-5", "WU", 1 / 79.9934),
        ("ms", "s", 0.001),
        ("pg/mL", "ng/L", 1),
        ("%", "fraction", 0.01),
        ("points", "Points", 1),
    ],
)
def test_known_factors(source: str, target: str, expected: float) -> None:
    found, back = factor(source, target), factor(target, source)
    assert found == pytest.approx(expected, rel=1e-5)
    assert back == pytest.approx(1 / expected, rel=1e-5)


@pytest.mark.parametrize(("source", "target"), [("kPa", "L/min"), ("", "mmHg"), ("points", "mmHg"), ("L/min", "L")])
def test_what_is_of_another_kind_has_no_factor(source: str, target: str) -> None:
    assert factor(source, target) is None


def test_the_example_holds() -> None:
    assert doctest.testmod(quantities).failed == 0
    assert doctest.testmod(quantities).attempted == 1
