"""Recordings and patients counted by cell, batch by batch, in memory that the number of recordings does not swell.

All rows of a patient lie in one split, and shards are read in the order of their first patients. So patients before
the first one of the next shard are whole: they are counted, and only the others are remembered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hemometric.corpus import SPLITS, Split

Cell = str | int | None
"""What is counted: a name, the number of a bin, or None where it is not known."""


class Tally:
    """Recordings and patients of each cell, by split; a patient may be in several cells.

    Attributes
    ----------
    recordings, patients : dict
        From a split to the count of each cell; whole once all is settled.
    """

    def __init__(self) -> None:
        self.recordings: dict[Split, Counter[Cell]] = {split: Counter() for split in SPLITS}
        self.patients: dict[Split, Counter[Cell]] = {split: Counter() for split in SPLITS}
        self._waiting: list[pa.Table] = []

    def add(self, rows: pa.Table) -> None:
        """Take rows of one split: ``owner`` and ``cell``, one for each recording and cell."""
        self._waiting.append(rows.group_by(["owner", "cell"]).aggregate([([], "count_all")]))

    def settle(self, split: Split, before: str | None) -> None:
        """Count all owners below `before`, of whom no later row is; None counts all."""
        whole, self._waiting = _parted(self._waiting, before)
        if whole is None:
            return
        pairs = whole.group_by(["owner", "cell"]).aggregate([("count_all", "sum")])
        cells = pairs.group_by("cell").aggregate([("count_all_sum", "sum"), ("count_all_sum", "count")])
        columns = [cells[name].to_pylist() for name in ("cell", "count_all_sum_sum", "count_all_sum_count")]
        for cell, recordings, patients in zip(*columns, strict=True):
            self.recordings[split][cell] += recordings
            self.patients[split][cell] += patients

    def without(self, left_out: Callable[[Cell], bool]) -> Tally:
        """Give the counts of some cells only."""
        other = Tally()
        for split in SPLITS:
            for mine, its in ((self.recordings, other.recordings), (self.patients, other.patients)):
                its[split].update({cell: num for cell, num in mine[split].items() if not left_out(cell)})
        return other

    @property
    def all_recordings(self) -> Counter[Cell]:
        """Of all splits together."""
        return _total(self.recordings)

    @property
    def all_patients(self) -> Counter[Cell]:
        """Of all splits together: no patient is in two."""
        return _total(self.patients)


class Repeats:
    """How many ECGs patients have, and over how long.

    Attributes
    ----------
    patients : Counter
        From a number of recordings to the patients that have it.
    spans : Counter
        From a length of time, in days and rounded down, to the patients with so much between their first ECG and
        their last; of those with two ECGs or more whose times are known.
    """

    def __init__(self) -> None:
        self.patients: Counter[int] = Counter()
        self.spans: Counter[int] = Counter()
        self._waiting: list[pa.Table] = []

    def add(self, rows: pa.Table) -> None:
        """Take rows: ``owner`` and ``acquired``."""
        wanted = [([], "count_all"), *(("acquired", what) for what in ("count", "min", "max"))]
        self._waiting.append(rows.group_by("owner").aggregate(wanted))

    def settle(self, before: str | None) -> None:
        """Count all owners below `before`, of whom no later row is; None counts all."""
        whole, self._waiting = _parted(self._waiting, before)
        if whole is None:
            return
        wanted = [("count_all", "sum"), ("acquired_count", "sum"), ("acquired_min", "min"), ("acquired_max", "max")]
        people = whole.group_by("owner").aggregate(wanted)
        self.patients.update(people["count_all_sum"].to_pylist())
        timed = people.filter(pc.greater(people["acquired_count_sum"], 1))
        span = pc.subtract(timed["acquired_max_max"], timed["acquired_min_min"])
        self.spans.update(length // timedelta(days=1) for length in span.to_pylist())


def owned(rows: pa.Table) -> pa.Table:
    """Add ``owner``: the patient's name behind the partition's number, so that owners sort as the rows of shards do."""
    numbers = pc.utf8_lpad(pc.cast(rows["partition"], pa.string()), 3, "0")
    return rows.append_column("owner", pc.binary_join_element_wise(numbers, rows["patient"], ""))


def keyed(rows: pa.Table, cells: pa.Array | pa.ChunkedArray, parents: pa.Array | None = None) -> pa.Table:
    """Put cells beside their owners.

    Parameters
    ----------
    parents : int array, optional
        The row that each cell is of; without, each row has one.
    """
    owners = rows.select(["owner"])
    return (owners if parents is None else owners.take(parents)).append_column("cell", cells)


def listed(rows: pa.Table, column: str) -> pa.Table:
    """Give each item of a list column as a cell of its row."""
    lists = rows[column].combine_chunks()
    return keyed(rows, pc.list_flatten(lists), pc.list_parent_indices(lists))


def binned(rows: pa.Table, column: str, edges: Sequence[float]) -> pa.Table:
    """Give each number of a column, or each in its lists, as the number of its bin; the outer bins take what is beyond.

    Absent numbers and those that are none have the cell None.
    """
    values, parents = rows[column].combine_chunks(), None
    if pa.types.is_list(values.type):
        parents, values = pc.list_parent_indices(values), pc.list_flatten(values)
    numbers = pc.fill_null(values.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False)
    places = np.searchsorted(np.asarray(edges[1:-1]), numbers, side="right")
    return keyed(rows, pa.array(places, pa.int64(), mask=np.isnan(numbers)), parents)


def _parted(tables: list[pa.Table], before: str | None) -> tuple[pa.Table | None, list[pa.Table]]:
    """Part the rows of patients who are whole from the others."""
    if not tables:
        return None, []
    rows = pa.concat_tables(tables)
    if before is None:
        return rows, []
    is_whole = pc.less(rows["owner"], before)
    rest = rows.filter(pc.invert(is_whole))
    return rows.filter(is_whole), [rest.combine_chunks()] if len(rest) else []


def _total(counts: dict[Split, Counter[Cell]]) -> Counter[Cell]:
    total: Counter[Cell] = Counter()
    for counted in counts.values():
        total.update(counted)
    return total
