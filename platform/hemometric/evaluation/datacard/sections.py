"""What a card says of the recordings: sources, splits, sites, signals, quality."""

from __future__ import annotations

from collections import Counter

from hemometric.corpus import SPLITS, FoldSplit, HashSplit, SiteSplit, SplitConfig
from hemometric.ecg import LEADS
from hemometric.evaluation.datacard.census import EXTENT, NATIVE, QUALITY, Census
from hemometric.evaluation.datacard.counted import (
    PERCENTILES,
    bins_table,
    held_back,
    least_patients,
    names_table,
    percentiles_of,
    spark_of,
)
from hemometric.evaluation.datacard.small_cells import SmallCells
from hemometric.evaluation.datacard.tally import Cell
from hemometric.evaluation.datacard.words import (
    FLAT,
    LEAD_FLAGS,
    OTHER_REASON,
    REASONS,
    flag_meaning,
    measure_words,
    percent,
    share,
)
from hemometric.evaluation.report import Part, Section, Text
from hemometric.evaluation.table import Cell as Shown
from hemometric.evaluation.table import Column, Table


def sources(census: Census) -> Section:
    """Say what became of all that was found."""
    counts = census.corpus.manifest.counts
    rows: list[tuple[Shown, ...]] = [
        ("found", "", counts.found, 100.0),
        ("accepted", "these are the corpus", counts.accepted, share(counts.accepted, counts.found)),
    ]
    for reason, num in sorted(counts.rejected.items(), key=lambda item: (-item[1], item[0])):
        rows.append((reason, REASONS.get(reason, OTHER_REASON), num, share(num, counts.found)))
    columns = (Column("Sources"), Column("Meaning"), Column("Recordings"), Column("Share", "%", 1))
    table = Table(
        "What was found, what was taken, and what was refused by reason code.",
        columns,
        tuple(rows),
        ("Each refused recording is a row of the corpus's quarantine table, with its reason and a sentence.",),
    )
    ingests = counted(census.corpus.manifest.num_ingests, "ingest")
    text = [f"Counts are over {ingests}."]
    if counts.unmatched and census.corpus.manifest.table.kind != "none":
        text.append(f"For {counted(counts.unmatched, 'recording')} the joined table has no row.")
    if census.num_aliases:
        text.append(
            f"{counted(census.num_aliases, 'patient name')} turned out to be of a patient known under another one, "
            "since both have the same ECG or a rule or list says so; they count as one patient."
        )
    parts: list[Part] = [table, Text(" ".join(text))]
    if counts.nulled:
        nulled = tuple((name, num) for name, num in sorted(counts.nulled.items()))
        caption = (
            "Values that were out of their plausible range or unreadable, and were made absent; the recording stayed."
        )
        parts.append(Table(caption, (Column("Field"), Column("Recordings")), nulled))
    return Section("From sources to recordings", tuple(parts))


def splits(census: Census, small: SmallCells) -> Section:
    """Say who trains, validates and tests, and how that was decided."""
    counts = census.corpus.manifest.counts
    recordings: Counter[Cell] = Counter({name: counts.splits[name].recordings for name in SPLITS})
    patients: Counter[Cell] = Counter({name: counts.splits[name].patients for name in SPLITS})
    table = bins_table(
        "Recordings and patients by split.",
        "Split",
        {name: name for name in SPLITS},
        recordings,
        patients,
        small,
        of=census.num_recordings,
    )
    text = (
        f"{how_split(census.corpus.manifest.split)} A patient, and all that are linked to the patient by a shared ECG, "
        "lies in one split; later ingests move nobody. Fit on train, choose on validation, and look at test once."
    )
    return Section("Splits", (Text(text), table))


def how_split(split: SplitConfig) -> str:
    """Say in a sentence or two how patients came to their splits."""
    if isinstance(split, HashSplit):
        shares = f"{100 * split.train:.0f} / {100 * split.validation:.0f} / {100 * split.test:.0f}"
        return (
            f"By a keyed hash of the patient, {shares} of 100 fixed bins for train, validation and test: at random, "
            "but the same for ever."
        )
    if isinstance(split, FoldSplit):
        folds = "; ".join(f"{name} {', '.join(map(str, getattr(split, name))) or 'none'}" for name in SPLITS)
        return f"By folds that the joined table names: {folds}."
    if isinstance(split, SiteSplit):
        named = f"validation {', '.join(split.validation) or 'none'}; test {', '.join(split.test) or 'none'}"
        rest = "all other sites" if split.train is None else ", ".join(split.train)
        return f"By site: train {rest}; {named}. A patient of several goes to the strictest split."
    return (
        "By the true time of acquisition: who came later validates, and who came last tests. A patient from before "
        "and after goes to the strictest split."
    )


def sites(census: Census, small: SmallCells) -> Section:
    """Say where the recordings come from."""
    counts, by_site = census.corpus.manifest.counts, isinstance(census.corpus.manifest.split, SiteSplit)
    table = names_table(
        "Sites, as the joined table names them.",
        "Site",
        census.tallies["site"],
        small,
        of=census.num_recordings,
        totals=Counter({split: counts.splits[split].patients for split in SPLITS}) if by_site else None,
    )
    return Section("Sites", (table,))


def signals(census: Census, small: SmallCells) -> Section:
    """Say in which formats, rates, lengths and leads the signals are."""
    total = census.num_recordings
    natives = census.tallies[NATIVE].all_recordings
    native = "All hold the counts of the device."
    if natives[False]:
        native = (
            f"{percent(natives[True], total)} of the recordings hold the counts of the device; the others came as "
            "floats and were quantised, with the error in column quantisation_error_mv."
        )
    text = (
        "Signals are kept as they came: integer counts with gain and offset for each lead, at their own rate and "
        f"length, unfiltered. {native}"
    )
    return Section(
        "Signals",
        (
            Text(text),
            names_table("Formats of the sources.", "Format", census.tallies["source_format"], small, of=total),
            names_table(
                "Sampling rate and length, rounded to half a second.",
                "Rate and length",
                census.tallies[EXTENT],
                small,
                of=total,
            ),
            _leads(census, small),
        ),
    )


def _leads(census: Census, small: SmallCells) -> Table:
    there, flags = census.tallies["leads"], census.tallies["flags"]
    alike: dict[tuple[Shown, ...], list[str]] = {}
    for lead in LEADS:
        cells = {"in": (there, lead)} | {kind: (flags, f"{kind}:{lead}") for kind in LEAD_FLAGS}
        people = Counter({what: tally.all_patients[cell] for what, (tally, cell) in cells.items()})
        parted = Counter({what: num for what, num in people.items() if what != FLAT})  # these add up to all
        hidden = small.hidden(parted, adds_up=True)
        counts = tuple(
            small.sign if not small.shows(people[what]) else None if what in hidden else tally.all_recordings[cell]
            for what, (tally, cell) in cells.items()
        )
        alike.setdefault(counts, []).append(lead)
    rows = [("all twelve" if leads == list(LEADS) else ", ".join(leads), *counts) for counts, leads in alike.items()]
    is_whole = all(isinstance(count, int) for counts in alike for count in counts)
    columns = (
        Column("Leads"),
        *(Column(title, numeric=True) for title in ("In the file", "Derived", "Missing", "Flat")),
    )
    return Table(
        "Recordings by lead: in the file, derived from other limb leads when it is read, or neither; and flat.",
        columns,
        tuple(rows),
        () if is_whole else (held_back(small, adds_up=True),),
    )


def quality(census: Census, small: SmallCells) -> Section:
    """Say what is odd about signals, in flags and figures."""
    flags = census.tallies["flags"]
    own = flags.without(lambda cell: str(cell).partition(":")[0] in LEAD_FLAGS)
    parts: list[Part] = [
        names_table(
            "Flags of recordings that were accepted all the same; those of single leads are in the table of leads.",
            "Flag",
            own,
            small,
            of=census.num_recordings,
            adds_up=False,
            meaning=flag_meaning,
        )
        if own.all_patients
        else Text("No recording is flagged, but for the leads in the table above.")
    ]
    rows: list[tuple[Shown, ...]] = []
    for name in census.measures:
        spread, tally = census.numbers[name].all, census.tallies[name]
        what, unit = measure_words(name.removeprefix(QUALITY))
        num_patients = least_patients(tally, census)["all"] if spread.num else 0
        low, _, middle, _, high = percentiles_of(spread, num_patients, small)
        bins = spark_of(tally, len(census.numbers[name].edges) - 1, small, what)
        rows.append((what, unit, percent(spread.num, census.num_recordings), low, middle, high, bins))
    if rows:
        titles = (
            "Measured",
            f"{PERCENTILES[0]:.0%} percentile".replace("%", "th"),
            "Median",
            f"{PERCENTILES[-1]:.0%} percentile".replace("%", "th"),
        )
        columns = (
            Column("Measure"),
            Column("Unit"),
            *(Column(title, numeric=True) for title in titles),
            Column("Histogram"),
        )
        notes = (
            f"Percentiles and bars of fewer than {small.least} patients are left out.",
            "The outermost 0.5 % at each end count into the outer bars.",
        )
        parts.append(Table("Quality of the accepted signals, in figures.", columns, tuple(rows), notes))
    return Section("Quality", tuple(parts))


def counted(num: int, noun: str) -> str:
    """Give a number with its noun."""
    return f"{num:,} {noun}" if num == 1 else f"{num:,} {noun}s"
