"""Tables of counts and of spreads, with small cells held back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hemometric.corpus import SPLITS
from hemometric.evaluation.datacard.census import Census, Numbers
from hemometric.evaluation.datacard.small_cells import SmallCells
from hemometric.evaluation.datacard.spread import Spread
from hemometric.evaluation.datacard.tally import Cell, Tally
from hemometric.evaluation.datacard.words import share, written
from hemometric.evaluation.spark import Spark
from hemometric.evaluation.table import Cell as Shown
from hemometric.evaluation.table import Column, Table

NOT_KNOWN = "not known"
PERCENTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MAX_NAMES = 25
_COUNTS = (
    Column("Recordings", numeric=True),
    Column("Share", "%", 1, numeric=True),
    Column("Patients", numeric=True),
)


def names_table(
    caption: str,
    title: str,
    tally: Tally,
    small: SmallCells,
    *,
    of: int,
    adds_up: bool = True,
    totals: Counter[str] | None = None,
    meaning: Callable[[str], str] | None = None,
    notes: Sequence[str] = (),
) -> Table:
    """Count names, the most frequent first; names that are held back share a row, since they could name somebody.

    Parameters
    ----------
    of : int
        Recordings that the shares are of.
    adds_up : bool
        Each recording has one name; see `SmallCells.hidden`.
    totals : Counter, optional
        Patients of each split, where a name lies in one split only; see `SmallCells.hidden_in_groups`.
    meaning : callable, optional
        Says what a name means, in a column of its own.
    """
    recordings, patients = tally.all_recordings, tally.all_patients
    if totals is None:
        hidden = small.hidden(patients, adds_up=adds_up)
    else:
        hidden = small.hidden_in_groups({split: tally.patients[split] for split in SPLITS}, totals)
    shown = sorted((cell for cell in patients if cell not in hidden), key=lambda cell: (-recordings[cell], str(cell)))
    rows: list[tuple[Shown, ...]] = []
    for cell in shown[:MAX_NAMES]:
        name = NOT_KNOWN if cell is None else str(cell)
        middle = (meaning(name),) if meaning else ()
        rows.append((name, *middle, recordings[cell], share(recordings[cell], of), patients[cell]))
    blank = ("",) if meaning else ()
    if rest := shown[MAX_NAMES:]:
        count = sum(recordings[cell] for cell in rest) if adds_up else None
        rows.append((f"{len(rest)} more", *blank, count, None if count is None else share(count, of), None))
    notes = list(notes)
    if hidden:
        only_small = all(not small.shows(patients[cell]) for cell in hidden)
        rows.append((f"{len(hidden)} held back", *blank, None, None, f"{small.sign} each" if only_small else None))
        notes.append(held_back(small, adds_up=adds_up))
    columns = (Column(title), *((Column("Meaning"),) if meaning else ()), *_COUNTS)
    return Table(caption, columns, tuple(rows), tuple(notes))


def bins_table(
    caption: str,
    title: str,
    names: Mapping[Cell, str],
    recordings: Counter[Cell],
    patients: Counter[Cell],
    small: SmallCells,
    *,
    of: int,
) -> Table:
    """Count cells that stand in an order and have names that tell nothing; empty ones at the ends have no row."""
    hidden = small.hidden(patients, adds_up=True)
    there = [place for place, cell in enumerate(names) if cell is not None and patients[cell]]
    rows: list[tuple[Shown, ...]] = []
    for place, (cell, name) in enumerate(names.items()):
        if not patients[cell] and (cell is None or not there or not there[0] < place < there[-1]):
            continue
        if cell in hidden:
            rows.append((name, None, None, small.sign if not small.shows(patients[cell]) else None))
        else:
            rows.append((name, recordings[cell], share(recordings[cell], of), patients[cell]))
    notes = (held_back(small, adds_up=True),) if hidden else ()
    return Table(caption, (Column(title), *_COUNTS), tuple(rows), notes)


def held_back(small: SmallCells, *, adds_up: bool) -> str:
    """Say why cells are empty."""
    more = ", and what would give these away by subtraction" if adds_up else ""
    return f"Held back: fewer than {small.least} patients{more}."


def shares_of(tally: Tally, num_bins: int, small: SmallCells) -> dict[str, list[float]]:
    """Give the share of each bin in its split's numbers, in percent; NaN where it is held back."""
    return {split: _shares(tally.recordings[split], tally.patients[split], num_bins, small) for split in SPLITS}


def spark_of(tally: Tally, num_bins: int, small: SmallCells, what: str) -> Spark | str:
    """Draw all splits together, in a word's space; say so where there is nothing to draw."""
    if num_bins == 1:
        return "almost all alike"  # but for what lies in the outermost 0.5 % at each end
    shares = _shares(tally.all_recordings, tally.all_patients, num_bins, small)
    return Spark(tuple(0.0 if np.isnan(one) else one for one in shares), f"histogram of {what}")


def _shares(recordings: Counter[Cell], patients: Counter[Cell], num_bins: int, small: SmallCells) -> list[float]:
    hidden = small.hidden(patients, adds_up=True)
    total = sum(recordings[place] for place in range(num_bins))
    return [np.nan if place in hidden else share(recordings[place], total) or 0.0 for place in range(num_bins)]


def percentiles_of(spread: Spread, num_patients: int, small: SmallCells) -> list[str]:
    """Write the percentiles that leave enough patients on both sides; others would show single ones."""
    return [
        written(spread.percentile(one)) if num_patients * min(one, 1 - one) >= small.least else "–"
        for one in PERCENTILES
    ]


def spread_table(caption: str, unit: str, found: Numbers, patients: Mapping[str, int], small: SmallCells) -> Table:
    """Show how numbers are spread in each split and in all.

    Parameters
    ----------
    patients : mapping
        From each split, and ``all``, to the patients that have a number.
    """
    columns = (
        Column("Split"),
        Column("Values", numeric=True),
        *(
            Column(title, unit, numeric=True)
            for title in ("Mean", "SD", "5th percentile", "25th", "Median", "75th", "95th")
        ),
    )
    hidden = small.hidden(Counter({split: patients[split] for split in SPLITS}), adds_up=True)
    rows: list[tuple[Shown, ...]] = []
    for name, spread in (("all", found.all), *((split, found.splits[split]) for split in SPLITS)):
        if name in hidden or not small.shows(patients[name]):
            rows.append((name, None, *["–"] * 7))
        else:
            moments = [written(spread.mean), written(spread.sd)]
            rows.append((name, spread.num, *moments, *percentiles_of(spread, patients[name], small)))
    notes = (
        f"A percentile is shown where at least {small.least} patients lie on both sides of it; it is right to 0.1 %.",
        *((held_back(small, adds_up=True),) if hidden else ()),
    )
    return Table(caption, columns, tuple(rows), notes)


def least_patients(tally: Tally, census: Census) -> dict[str, int]:
    """Give how many patients have a number, at least: of each split, and of ``all``.

    A patient may be in several bins, so that bins cannot be added up.
    """
    splits = census.corpus.manifest.counts.splits
    least: dict[str, int] = {split: _least(tally.patients[split], splits[split].patients) for split in SPLITS}
    return {**least, "all": sum(least.values())}


def _least(patients: Counter[Cell], num_patients: int) -> int:
    return max(
        num_patients - patients[None], max((num for cell, num in patients.items() if cell is not None), default=0)
    )


def binned_names(edges: Sequence[float], unit: str) -> dict[Cell, str]:
    """Name bins by whole numbers, such as ages: ``10 to 19``."""
    names: dict[Cell, str] = {}
    for place in range(len(edges) - 1):
        low, high = edges[place], edges[place + 1]
        names[place] = f"{low:g} and more" if np.isinf(high) else f"{low:g} to {high - 1:g}"
    return {cell: f"{name}{unit}" for cell, name in names.items()}


def bars_note(small: SmallCells) -> str:
    """Say what a figure leaves out."""
    return f"Bars of fewer than {small.least} patients are left out." if small.least > 1 else ""
