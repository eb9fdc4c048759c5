"""Which measurements belong to an ECG: looked up by patient and time in a file that all workers map."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hemometric.corpus.labels import LABEL_PREFIX
from hemometric.corpus.measured_rows import SCHEMA, Measured, halves_of
from hemometric.corpus.measurements import DELTA_H, Pair
from hemometric.ecg import Float64
from hemometric.errors import IntegrityError

Outcome = Literal["paired", "no_time", "no_partner", "out_of_window"]
OUTCOMES: tuple[Outcome, ...] = ("paired", "no_time", "no_partner", "out_of_window")
"""Of a label for one ECG: found; the ECG's time is not known; the patient has no such measurement; none within."""

_EPOCH = datetime(1970, 1, 1)
_US_PER_H = 3.6e9
Value = float | list[float] | None


@dataclass(frozen=True)
class Paired:
    """What was measured near one ECG.

    Attributes
    ----------
    columns : dict
        ``label.<name>`` and ``label.<name>_delta_h`` (hours, catheter minus ECG), None where there is none.
    outcomes : dict
        From a label's name to what became of it.
    """

    columns: dict[str, Value]
    outcomes: dict[str, Outcome]


class Pairing:
    """Measurements, opened for looking up; `names` are their labels.

    Looking up is a binary search in mapped memory: a worker holds the pages that it touches, whatever the file's size.

    Raises
    ------
    IntegrityError
        The file is missing or damaged.
    """

    def __init__(self, measured: Measured) -> None:
        self.names = measured.names
        self._pairs = measured.pairs
        try:
            with pa.memory_map(str(measured.path)) as file:
                rows = pa.ipc.open_file(file).read_all()
            if rows.schema != SCHEMA:
                raise pa.ArrowInvalid("other columns")
            high, low, label, time_us, value = (
                _numbers(column, field.type) for column, field in zip(rows.columns, SCHEMA, strict=True)
            )
        except (OSError, pa.ArrowException):
            raise IntegrityError(
                f"{measured.path} is missing or damaged; run the same `hemometric ingest` again"
            ) from None
        self._high, self._low, self._label, self._time_us, self._value = high, low, label, time_us, value

    def paired(self, patient: str, acquired: datetime | None) -> Paired:
        """Find what was measured near an ECG.

        Parameters
        ----------
        patient : str
            Pseudonym, 32 hex digits.
        acquired : datetime or None
            Its time, shifted as the corpus has it (`Key.date_shift`), without a zone.
        """
        columns: dict[str, Value] = {}
        outcomes: dict[str, Outcome] = {}
        of_patient = None if acquired is None else self._of_patient(patient)
        for number, (name, pair) in enumerate(zip(self.names, self._pairs, strict=True)):
            value: Value = None
            delta_h: Value = None
            outcome: Outcome = "no_time"
            if acquired is not None and of_patient is not None:
                rows = _span(self._label, number, of_patient)
                outcome = "no_partner" if rows.start == rows.stop else "out_of_window"
                deltas_h = (self._time_us[rows] - _microseconds(acquired)) / _US_PER_H
                inside = (deltas_h >= -pair.before_h) & (deltas_h <= pair.after_h)
                if inside.any():
                    outcome = "paired"
                    value, delta_h = _chosen(pair, self._value[rows][inside], deltas_h[inside])
            columns[LABEL_PREFIX + name], columns[LABEL_PREFIX + name + DELTA_H] = value, delta_h
            outcomes[name] = outcome
        return Paired(columns, outcomes)

    def _of_patient(self, patient: str) -> slice:
        high, low = halves_of(patient)
        return _span(self._low, low, _span(self._high, high, slice(0, len(self._high))))


def _chosen(pair: Pair, values: Float64, deltas_h: Float64) -> tuple[Value, Value]:
    """Choose among the measurements of the window, in the order of their times; at least one."""
    if pair.choose == "all":
        return values.tolist(), deltas_h.tolist()
    if pair.choose == "mean":
        return float(values.mean()), float(deltas_h.mean())
    place = {"first": 0, "last": len(values) - 1, "nearest": int(np.argmin(np.abs(deltas_h)))}[pair.choose]
    return float(values[place]), float(deltas_h[place])


def _span(column: npt.NDArray[Any], wanted: int, rows: slice) -> slice:
    """Find the rows of a sorted stretch that hold a value."""
    part = column[rows]
    value = np.asarray(wanted, dtype=column.dtype)
    start = rows.start + int(np.searchsorted(part, value, side="left"))
    return slice(start, rows.start + int(np.searchsorted(part, value, side="right")))


def _numbers(column: pa.ChunkedArray, kind: pa.DataType) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = column.chunk(0).to_numpy() if column.num_chunks else pa.array([], kind).to_numpy()
    return found


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
