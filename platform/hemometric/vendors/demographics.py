"""Age, sex and time as devices write them, into the fields of a recording."""

from __future__ import annotations

import re
from datetime import date, datetime

from hemometric.ecg import Sex

_AGE = re.compile(r"^0*(\d{1,3}(?:\.\d{1,6})?)\s*(?:y|yr|yrs|year|years|a)?\.?$", re.ASCII | re.IGNORECASE)
_FEMALE = {"f", "female", "woman"}
_MALE = {"m", "male", "man"}
MAX_AGE_YEARS = 120.0
_YEARS = range(1900, 2200)


def age_from_text(text: str) -> float | None:
    """Read an age in years: ``56``, ``56.5``, ``056Y``, ``56 years``.

    Returns
    -------
    float or None
        None for everything else: ``NaN``, ``Unknown``, a number above 120 (archives write 300 for "above 89").
    """
    match = _AGE.match(text.strip())
    age = float(match[1]) if match else None
    return age if age is not None and age <= MAX_AGE_YEARS else None


def sex_from_text(text: str) -> Sex | None:
    """Read ``F``, ``female``, ``Male``, ``m`` and the like; None for everything else, numbers included.

    Numbers mean different things in different archives (PTB-XL: 0 is male; others: 1 is male), so that only the
    reader of one archive may know them.
    """
    word = text.strip().casefold()
    if word in _FEMALE:
        return "female"
    return "male" if word in _MALE else None


def age_at(born: date | None, acquired: date | None) -> float | None:
    """Count the whole years from a birth to an ECG, as `age_from_text` takes them; None where a date is missing."""
    if born is None or acquired is None:
        return None
    age = acquired.year - born.year - ((acquired.month, acquired.day) < (born.month, born.day))
    return float(age) if 0 <= age <= MAX_AGE_YEARS else None


def time_from_text(text: str, shape: str) -> datetime | None:
    """Read a time that is written in one shape, as for `datetime.strptime`.

    Returns
    -------
    datetime or None
        None for everything else, and for years in which nobody had an ECG or was born who had one.
    """
    try:
        time = datetime.strptime(text.strip(), shape)
    except ValueError:
        return None
    return time if time.year in _YEARS else None
