"""What a card says of the people: sex, age, how often they come and over how long."""

from __future__ import annotations

from collections import Counter

import numpy as np

from hemometric.evaluation.datacard.census import AGE, TIMED, Census
from hemometric.evaluation.datacard.counted import (
    bars_note,
    binned_names,
    bins_table,
    held_back,
    least_patients,
    names_table,
    shares_of,
    spread_table,
)
from hemometric.evaluation.datacard.small_cells import SmallCells
from hemometric.evaluation.datacard.tally import Cell
from hemometric.evaluation.datacard.words import percent, share
from hemometric.evaluation.figures import bars, histograms
from hemometric.evaluation.report import Part, Section, Text, picture
from hemometric.evaluation.table import Cell as Shown
from hemometric.evaluation.table import Column, Table

REPEATS = ((1, 1, "1"), (2, 2, "2"), (3, 3, "3"), (4, 5, "4 to 5"), (6, 10, "6 to 10"), (11, 20, "11 to 20"))
SPANS = (
    (0, 0, "less than a day"),
    (1, 6, "1 to 6 days"),
    (7, 29, "7 to 29 days"),
    (30, 364, "30 days to a year"),
    (365, 1825, "1 to 5 years"),
)
_MORE = {"repeats": "more than 20", "spans": "more than 5 years"}


def patients(census: Census, small: SmallCells) -> Section:
    """Say who the patients are, how often they come, and over how long."""
    ages, tally = census.numbers[AGE], census.tallies[AGE]
    num_bins = len(ages.edges) - 1
    age_names: dict[Cell, str] = {**binned_names(ages.edges, " years"), None: "not known"}
    total, people = census.num_recordings, tally.all_patients
    repeat_counts = grouped(census.repeats.patients, REPEATS, _MORE["repeats"])
    shown = {
        name: num
        for name, num in repeat_counts.items()
        if name not in small.hidden(Counter(repeat_counts), adds_up=True)
    }
    parts: list[Part] = [
        names_table("Sex, as the table or else the file says.", "Sex", census.tallies["sex"], small, of=total),
        picture(
            histograms(ages.edges, shares_of(tally, num_bins, small), x="age (years)"),
            "Histogram of age in bins of ten years, one line for each split.",
            f"Age by split, at the time of the ECG. {bars_note(small)}",
            width="half",
        ),
        picture(
            bars(shown, x="patients"),
            "Bars: patients by their number of recordings.",
            f"Recordings per patient. {bars_note(small)}",
            width="half",
        ),
        bins_table(
            "Age at the time of the ECG; above 89 all are 90.",
            "Age",
            age_names,
            tally.all_recordings,
            people,
            small,
            of=total,
        ),
        spread_table("How age is spread.", "years", ages, least_patients(tally, census), small),
        people_table("Patients by their number of recordings.", "Recordings", repeat_counts, small),
    ]
    return Section("Patients", (*parts, *_times(census, small)))


def _times(census: Census, small: SmallCells) -> list[Part]:
    num_timed = census.tallies[TIMED].all_recordings[True]
    known = percent(num_timed, census.num_recordings)
    text = (
        f"The time of acquisition is known of {known} of the recordings. All times of a patient are shifted by the "
        "same number of whole days, another one for each patient: intervals within a patient and times of day are "
        "true, calendar dates, seasons and the period that the corpus covers are not, and are not shown."
    )
    if not sum(census.repeats.spans.values()):
        return [Text(text)]
    spans = grouped(census.repeats.spans, SPANS, _MORE["spans"])
    return [
        Text(text),
        people_table(
            "Time from a patient's first ECG to the last, of patients with two or more.", "Time", spans, small
        ),
    ]


def people_table(caption: str, title: str, counts: dict[str, int], small: SmallCells) -> Table:
    """Count patients alone, in rows whose names tell nothing."""
    hidden = small.hidden(Counter(counts), adds_up=True)
    total = sum(counts.values())
    rows: list[tuple[Shown, ...]] = [
        (name, small.sign if not small.shows(num) else None, None) if name in hidden else (name, num, share(num, total))
        for name, num in counts.items()
    ]
    notes = (held_back(small, adds_up=True),) if hidden else ()
    return Table(
        caption,
        (Column(title), Column("Patients", numeric=True), Column("Share", "%", 1, numeric=True)),
        tuple(rows),
        notes,
    )


def grouped(counts: Counter[int], groups: tuple[tuple[int, int, str], ...], more: str) -> dict[str, int]:
    """Add counts up within ranges, both ends included, and beyond them; empty groups at the end are left out."""
    edges = [low for low, _, _ in groups] + [groups[-1][1] + 1]
    found = dict.fromkeys([*(name for _, _, name in groups), more], 0)
    names = list(found)
    for value, num in counts.items():
        found[names[int(np.searchsorted(edges, value, side="right")) - 1]] += num
    last = max((place for place, name in enumerate(names) if found[name]), default=-1)
    return {name: found[name] for name in names[: last + 1]}
