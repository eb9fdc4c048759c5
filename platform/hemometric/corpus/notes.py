"""What must be counted of a recording, kept with it: so the counts are those of the recordings that are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from hemometric.corpus.pairing import OUTCOMES, Outcome

NO_ROW = "no_row"
_NULLED, _PAIRED = "nulled:", "paired:"


@dataclass(frozen=True)
class Noted:
    """Counts; see `manifest.Counts`."""

    unmatched: int
    nulled: dict[str, int]
    paired: dict[str, dict[str, int]]


def notes_of(*, has_row: bool, nulled: Iterable[str], outcomes: Mapping[str, Outcome]) -> list[str]:
    """Write down that the table has no row, which of its values were not believed, and how each label was paired."""
    notes = [] if has_row else [NO_ROW]
    notes += [f"{_NULLED}{name}" for name in nulled]
    return sorted([*notes, *(f"{_PAIRED}{name}:{outcome}" for name, outcome in outcomes.items())])


def count(columns: Iterable[pa.ChunkedArray], paired_labels: Sequence[str]) -> Noted:
    """Count the notes of many recordings.

    Parameters
    ----------
    paired_labels : sequence of str
        Labels of measurements: each has a count for every outcome.
    """
    found: Counter[str] = Counter()
    for column in columns:
        for one in pc.value_counts(pc.list_flatten(column)).to_pylist():
            found[one["values"]] += one["counts"]
    nulled = {name.removeprefix(_NULLED): num for name, num in sorted(found.items()) if name.startswith(_NULLED)}
    paired: dict[str, dict[str, int]] = {
        label: {outcome: found[f"{_PAIRED}{label}:{outcome}"] for outcome in sorted(OUTCOMES)}
        for label in sorted(paired_labels)
    }
    return Noted(found[NO_ROW], nulled, paired)
