"""What a card says of the labels: numbers, their distance in time from the ECG, and codes."""

from __future__ import annotations

from collections import Counter

from hemometric.corpus import SPLITS, Label
from hemometric.corpus.labels import LIKELIHOODS
from hemometric.corpus.measurements import DELTA_H, Pair
from hemometric.evaluation.datacard.census import KNOWN, NONE, PRESENT, SOME, Census
from hemometric.evaluation.datacard.counted import (
    bars_note,
    bins_table,
    held_back,
    names_table,
    shares_of,
    spread_table,
)
from hemometric.evaluation.datacard.small_cells import SmallCells
from hemometric.evaluation.datacard.tally import Cell
from hemometric.evaluation.datacard.words import percent, written
from hemometric.evaluation.figures import bars, histograms
from hemometric.evaluation.figures.style import with_unit
from hemometric.evaluation.report import Part, Picture, Section, Text, picture
from hemometric.evaluation.table import Cell as Shown
from hemometric.evaluation.table import Column, Table

NUM_BARS = 15


def labels(census: Census, small: SmallCells) -> list[Section]:
    """Give a section on all labels, and one on each."""
    if not census.labels:
        return [Section("Labels", (Text("The corpus has no labels: it serves for pretraining and embedding."),))]
    sections = [Section("Labels", (_overview(census, small),))]
    for label in own_labels(census):
        section = _codes if label.kind == "codes" else _number
        sections.append(section(census, label, small))
    return sections


def own_labels(census: Census) -> list[Label]:
    """Give the labels that do not only say how far in time another one is."""
    names = {label.name for label in census.labels}
    return [
        label
        for label in census.labels
        if not (label.name.endswith(DELTA_H) and label.name.removesuffix(DELTA_H) in names)
    ]


def _overview(census: Census, small: SmallCells) -> Table:
    rows: list[tuple[Shown, ...]] = []
    any_hidden = False
    for label in own_labels(census):
        tally = census.tallies[PRESENT + label.column]
        in_splits = {split: tally.patients[split][True] for split in SPLITS}
        hidden = small.hidden(Counter(in_splits), adds_up=True)
        any_hidden |= bool(hidden)
        num_patients = sum(in_splits.values())
        recordings: list[Shown] = [None if split in hidden else tally.recordings[split][True] for split in SPLITS]
        total = tally.all_recordings[True] if small.shows(num_patients) else None
        rows.append(
            (label.name, label.unit or label.kind, _range(label), total, small.count(num_patients), *recordings)
        )
    titles = ("Recordings", "Patients", *(split.capitalize() for split in SPLITS))
    columns = (Column("Label"), Column("Unit"), Column("Plausible"), *(Column(title, numeric=True) for title in titles))
    notes = ["Values outside of the plausible range were made absent. The last three columns count recordings."]
    if any_hidden:
        notes.append(held_back(small, adds_up=True))
    return Table("Labels, and how many have one.", columns, tuple(rows), tuple(notes))


def _number(census: Census, label: Label, small: SmallCells) -> Section:
    parts: list[Part] = [_histogram(census, label, small, label.name, f"{label.name} by split.")]
    patients = _patients(census, label)
    distance = next((one for one in census.labels if one.name == label.name + DELTA_H), None)
    if distance is not None:
        caption = f"Hours from the ECG to the measurement of {label.name}; negative where it was measured first."
        parts.append(_histogram(census, distance, small, "measurement minus ECG", caption))
    caption = f"How {label.name} is spread."
    parts.append(spread_table(caption, label.unit, census.numbers[label.column], patients, small))
    if label.name.endswith(LIKELIHOODS):
        parts.append(Text(f"One value for each code of {label.name.removesuffix(LIKELIHOODS)}."))
    if distance is not None:
        caption = f"How the hours from the ECG to {label.name} are spread."
        parts.append(spread_table(caption, "h", census.numbers[distance.column], patients, small))
        parts.append(Text(_window(census, distance, small), "note"))
    return Section(f"Label {label.name}", tuple(parts))


def _window(census: Census, distance: Label, small: SmallCells) -> str:
    spread = census.numbers[distance.column].all
    if not small.shows(_patients(census, distance)["all"]) or not spread.num:
        return f"The hours are known of fewer than {small.least} patients."
    after, before = spread.share_above_zero, spread.share_below_zero
    return (
        f"{percent(after, 1.0)} of the values were measured after the ECG and {percent(before, 1.0)} before it. "
        f"{_meaning(census.corpus.manifest.pairs.get(distance.name.removesuffix(DELTA_H)))}"
    )


def _meaning(pair: Pair | None) -> str:
    """Say the window of a pairing, which is part of what the label means."""
    if pair is None:
        return ""
    chosen = {
        "nearest": "the one nearest in time is taken", "first": "the first is taken", "last": "the last is taken",
        "mean": "their mean is taken", "all": "all are kept",
    }  # fmt: skip
    return (
        f"Those from {pair.before_h:g} h before the ECG to {pair.after_h:g} h after it belong to it; of several, "
        f"{chosen[pair.choose]}."
    )


def _histogram(census: Census, label: Label, small: SmallCells, name: str, caption: str) -> Picture:
    found = census.numbers[label.column]
    shares = shares_of(census.tallies[label.column], len(found.edges) - 1, small)
    drawn = histograms(found.edges, shares, x=with_unit(name, label.unit))
    caption = f"{caption} {bars_note(small)} The outermost 0.5 % at each end count into the outer bars."
    return picture(drawn, f"Histogram of {name}, one line for each split.", caption, width="half")


def _codes(census: Census, label: Label, small: SmallCells) -> Section:
    tally, known = census.tallies[label.column], census.tallies[KNOWN + label.column]
    hidden = small.hidden(tally.all_patients, adds_up=False)
    shown = sorted(
        ((num, str(cell)) for cell, num in tally.all_patients.items() if cell not in hidden and cell is not None),
        key=lambda item: (-item[0], item[1]),
    )
    states: dict[Cell, str] = {SOME: "one or several codes", NONE: "none of the codes", None: "not known"}
    parts: list[Part] = [
        bins_table(
            f"Recordings by what is known of {label.name}.",
            "Known",
            states,
            known.all_recordings,
            known.all_patients,
            small,
            of=census.num_recordings,
        ),
        picture(
            bars({name: num for num, name in shown[:NUM_BARS]}, x="patients"),
            f"Bars: patients by code of {label.name}, the most frequent first.",
            f"Patients by code of {label.name}, the most frequent {min(NUM_BARS, len(shown))}.",
            width="half",
        ),
        names_table(
            f"Codes of {label.name}; a recording may have several.",
            "Code",
            tally,
            small,
            of=known.all_recordings[SOME] + known.all_recordings[NONE],
            adds_up=False,
            notes=("Shares are of the recordings of which the codes are known.",),
        ),
    ]
    return Section(f"Label {label.name}", tuple(parts))


def _patients(census: Census, label: Label) -> dict[str, int]:
    tally = census.tallies[PRESENT + label.column]
    return {**{split: tally.patients[split][True] for split in SPLITS}, "all": tally.all_patients[True]}


def _range(label: Label) -> str:
    if label.low is None and label.high is None:
        return "–"
    if label.high is None:
        return f"from {written(label.low or 0.0)}"
    if label.low is None:
        return f"up to {written(label.high)}"
    return f"{written(label.low)} to {written(label.high)}"
