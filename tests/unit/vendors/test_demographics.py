"""Age, sex and time as devices write them."""

from datetime import date, datetime

import pytest

from hemometric.vendors.demographics import age_at, age_from_text, sex_from_text, time_from_text

NO_AGE = ("", "NaN", "inf", "Unknown", "300", "121", "5ludb", "56 57", "\u0665\u0666", "9" * 9999)


@pytest.mark.parametrize(
    ("text", "age"),
    [("56", 56), (" 056Y ", 56), ("56.5", 56.5), ("0", 0), ("120", 120), ("47 years", 47), ("1e2", None), ("-1", None)]
    + [
        (text, None)
        for text in ("", "NaN", "nan", "inf", "Unknown", "300", "121", "5ludb", "56 57", "\u0665\u0666", "9" * 9999)
    ],
)
def test_age(text: str, age: float | None) -> None:
    assert age_from_text(text) == age


@pytest.mark.parametrize(
    ("text", "sex"),
    [("F", "female"), ("female", "female"), (" Male", "male"), ("m", "male"), ("MAN", "male"), ("Woman", "female")]
    + [(text, None) for text in ("", "0", "1", "2", "U", "other", "unknown", "malee")],
)
def test_sex(text: str, sex: str | None) -> None:
    assert sex_from_text(text) == sex


@pytest.mark.parametrize(
    ("born", "acquired", "age"),
    [
        (date(1953, 5, 8), datetime(2002, 11, 22, 9, 10), 49),
        (date(1953, 11, 23), date(2002, 11, 22), 48),
        (date(1953, 11, 22), date(2002, 11, 22), 49),
        (date(2000, 2, 29), date(2001, 2, 28), 0),
        (date(2003, 1, 1), date(2002, 11, 22), None),
        (date(1800, 1, 1), date(2002, 11, 22), None),
        (None, date(2002, 11, 22), None),
        (date(1953, 5, 8), None, None),
    ],
)
def test_age_at_the_ecg(born, acquired, age) -> None:
    assert age_at(born, acquired) == age


@pytest.mark.parametrize(
    ("text", "shape", "time"),
    [
        (" 11-05-2019 13:37:59 ", "%m-%d-%Y %H:%M:%S", datetime(2019, 11, 5, 13, 37, 59)),
        ("20191105", "%Y%m%d", datetime(2019, 11, 5)),
        ("13-05-2019", "%m-%d-%Y", None),
        ("02-29-2019", "%m-%d-%Y", None),
        ("11-05-2019 24:00:00", "%m-%d-%Y %H:%M:%S", None),
        ("01-01-0001", "%m-%d-%Y", None),
        ("01-01-9999", "%m-%d-%Y", None),
        ("XX-XX-XXXX", "%m-%d-%Y", None),
        ("", "%m-%d-%Y", None),
        ("9" * 9999, "%m-%d-%Y", None),
    ],
)
def test_time(text: str, shape: str, time: datetime | None) -> None:
    assert time_from_text(text, shape) == time
