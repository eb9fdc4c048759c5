"""Units of measure: what one of them is worth in another of the same kind."""

from __future__ import annotations

import re

_PA_PER_MMHG = 133.322387415
_DYN_PER_WOOD = _PA_PER_MMHG * 60e3 / 1e5  # 1 Wood unit is 1 mmHg min/L, 1 dyn s/cm5 is 1e5 Pa s/m3

_PRESSURE = {  # in mmHg
    "mmhg": 1.0,
    "torr": 101325 / 760 / _PA_PER_MMHG,
    "pa": 1 / _PA_PER_MMHG,
    "hpa": 1e2 / _PA_PER_MMHG,
    "mbar": 1e2 / _PA_PER_MMHG,
    "kpa": 1e3 / _PA_PER_MMHG,
    "cmh2o": 98.0665 / _PA_PER_MMHG,
}
_FLOW = {"l/min": 1.0, "lpm": 1.0, "ml/min": 1e-3, "l/s": 60.0, "ml/s": 0.06}
_INDEX = {"l/min/m2": 1.0, "l/min*m2": 1.0, "ml/min/m2": 1e-3, "ml/min*m2": 1e-3}
_RESISTANCE = {"wu": 1.0, "woodunits": 1.0, "woodunit": 1.0, "mmhg*min/l": 1.0, "mmhg/l/min": 1.0} | dict.fromkeys(
    ("dyn*s/cm5", "dyn*s*cm-5", "dyns/cm5", "dynes*sec/cm5", "dyn*sec*cm-5", "dynes*sec*cm-5"), 1 / _DYN_PER_WOOD
)
_RATE = {"bpm": 1.0, "/min": 1.0, "1/min": 1.0, "beats/min": 1.0}
_TIME = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "msec": 1e-3, "min": 60.0, "h": 3600.0}
_VOLUME = {"l": 1.0, "ml": 1e-3}
_SHARE = {"%": 1e-2, "percent": 1e-2, "1": 1.0, "fraction": 1.0}
_CONCENTRATION = {"g/l": 1.0, "g/dl": 10.0, "mg/dl": 1e-2, "ng/ml": 1e-6, "ug/l": 1e-6, "pg/ml": 1e-9, "ng/l": 1e-9}
_KINDS = (_PRESSURE, _FLOW, _INDEX, _RESISTANCE, _RATE, _TIME, _VOLUME, _SHARE, _CONCENTRATION)
_SPELLINGS = str.maketrans("²·⋅×µμ", "2***uu")


def factor(source: str, target: str) -> float | None:
    """Give what one `source` is in `target`: 1 kPa is 7.50 mmHg.

    Case, spaces and the brackets of UCUM (``mm[Hg]``) do not matter.

    Returns
    -------
    float or None
        1 for a unit that only has another spelling; None where the two are of different kinds, or not known.

    Examples
    --------
    >>> round(factor("kPa", "mmHg"), 3), factor("mL/min", "L/min"), factor("kPa", "L/min")
    (7.501, 0.001, None)
    """
    one, other = _plain(source), _plain(target)
    if one == other:
        return 1.0
    return next((kind[one] / kind[other] for kind in _KINDS if one in kind and other in kind), None)


def check_units(unit: str, source_unit: str) -> None:
    """Raise ValueError where a source's unit cannot be brought into a label's."""
    if source_unit and factor(source_unit, unit) is None:
        raise ValueError(
            f"source_unit {source_unit!r} cannot be converted to unit {unit!r}; known are mmHg, kPa, hPa, cmH2O, "
            "L/min, mL/min, dyn*s/cm5, ms, %, pg/mL and their kin: convert the table's column yourself"
        )


def _plain(unit: str) -> str:
    """Reduce ``L / min``, ``l/min`` and ``mm[Hg]`` to one spelling."""
    unit = unit.casefold().translate(_SPELLINGS)
    unit = re.sub(r"[\s\[\](){}_^]", "", unit)
    return re.sub(r"\b(?:liters?|litres?)\b", "l", unit)
