"""The data card of a corpus: what a person must know before using it, as a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hemometric import __version__
from hemometric.corpus import SPLITS
from hemometric.evaluation.datacard.answers import QUESTIONS, Answers, answered
from hemometric.evaluation.datacard.census import AGE, EXTENT, PRESENT, QUALITY, Census
from hemometric.evaluation.datacard.labels import labels, own_labels
from hemometric.evaluation.datacard.people import patients
from hemometric.evaluation.datacard.sections import counted, quality, signals, sites, sources, splits
from hemometric.evaluation.datacard.small_cells import SmallCells
from hemometric.evaluation.datacard.words import percent
from hemometric.evaluation.report import KeyFigure, Questions, Report, Section, Text

_MAX_RATES = 4
_FEW_PATIENTS = 100
_USUAL_S = 10.0
_COMMON = 0.01
_HINTS = {
    "padded": "Some stand still at an end: preparation.padding: strip cuts that off.",
    "missing_lead": (
        "Some lack leads, see the table of leads: preparation.absent says whether they are left out or get 0 mV there, "
        "and preparation.leads may ask for fewer."
    ),
    "baseline_wander": "Some have a baseline that drifts: preparation.filter may take that out.",
    "mains_hum": "Some hum with the mains: preparation.filter may take that out.",
    "saturated": "Some are cut off at the scale's end, which no preparation mends; leave them out where size matters.",
}
"""What to do about flags that at least 1 in 100 patients have."""


def data_card(census: Census, name: str, small: SmallCells, answers: Answers) -> Report:
    """Put a card together.

    Parameters
    ----------
    name : str
        What the corpus is called, in the title.
    """
    return Report(
        title=f"Data card: {name}",
        subtitle="A corpus of electrocardiograms, as hemometric made it. For research; not for diagnosis.",
        summary=(),
        sections=(
            Section("What it is", (Text(_what_it_is(census, small)),)),
            sources(census),
            splits(census, small),
            patients(census, small),
            sites(census, small),
            signals(census, small),
            *labels(census, small),
            quality(census, small),
            Section("Preparing it", (Text("\n\n".join(_hints(census, small))),)),
            Section("Privacy", (Text(_privacy(small)),)),
            Section("Questions and answers", (Questions(answered(census, answers, small)),)),
        ),
        key_figures=_key_figures(census, small),
        notes=_limits(census, answers),
        notes_title="What to keep in mind",
        facts=_facts(census, small),
    )


def _what_it_is(census: Census, small: SmallCells) -> str:
    formats = census.tallies["source_format"]
    shown = [str(name) for name in sorted(map(str, formats.all_patients))]
    rates = Counter[str]()
    for extent, num in census.tallies[EXTENT].all_recordings.items():
        rates[str(extent).partition(",")[0]] += num
    common = [rate for rate, _ in rates.most_common(_MAX_RATES)]
    many = " and others" if len(rates) > _MAX_RATES else ""
    held = f"{counted(census.num_recordings, 'resting ECG')} of {_people(census, small)}"
    told = [f"{held}, read from {_listed(shown)} files, sampled at {_listed(common)}{many}."]
    numbers = [label.name for label in own_labels(census) if label.kind != "codes"]
    codes = [label.name for label in census.labels if label.kind == "codes"]
    if numbers:
        told.append(f"Numbers are known of some of them: {_listed(numbers)}.")
    if codes:
        told.append(f"Codes are known: {_listed(codes)}.")
    told.append(
        "Patients and recordings have pseudonyms, times are shifted, and each patient lies in one of three splits. "
        "Signals are as the devices stored them."
    )
    return " ".join(told)


def _people(census: Census, small: SmallCells) -> str:
    num = census.num_patients
    return counted(num, "patient") if small.shows(num) else f"fewer than {small.least} patients"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "unknown"


def _key_figures(census: Census, small: SmallCells) -> tuple[KeyFigure, ...]:
    counts = census.corpus.manifest.counts
    figures = [
        KeyFigure(f"{counts.accepted:,}", "ECGs", f"of {counts.found:,} found"),
        KeyFigure(_figure(small.count(census.num_patients)), "patients"),
    ]
    present = {label: census.tallies[PRESENT + label.column] for label in own_labels(census)}
    numbers_first = sorted(
        present, key=lambda label: (label.kind == "codes", -present[label].all_recordings[True], label.name)
    )
    for label in numbers_first[:1]:
        num_patients = present[label].all_patients[True]
        num = present[label].all_recordings[True] if small.shows(num_patients) else small.sign
        people = f"of {_figure(small.count(num_patients))} patients"
        figures.append(KeyFigure(_figure(num), f"ECGs with {label.name}", people))
    refused = sum(counts.rejected.values())
    figures.append(
        KeyFigure(f"{refused:,}", "refused", f"for {counted(len(counts.rejected), 'reason')}" if refused else "")
    )
    return tuple(figures)


def _figure(num: int | str) -> str:
    return num if isinstance(num, str) else f"{num:,}"


def _limits(census: Census, answers: Answers) -> tuple[str, ...]:
    counts = census.corpus.manifest.counts
    limits = [
        "It shows the patients and devices of some hospitals: what is learnt from them may not hold elsewhere.",
        "Who has an ECG, and more so who has a catheter, is no random sample: labels are missing for reasons.",
    ]
    if empty := [name for name in SPLITS if not counts.splits[name].recordings]:
        limits.append(f"No recording is in {_listed(empty)}.")
    if few := [name for name in SPLITS if 0 < counts.splits[name].patients < _FEW_PATIENTS]:
        limits.append(f"Fewer than {_FEW_PATIENTS} patients are in {_listed(few)}: figures from there are uncertain.")
    for column, what in (("sex", "sex"), ("site", "site")):
        missing = census.tallies[column].all_recordings[None]
        if missing:
            limits.append(f"The {what} of {percent(missing, census.num_recordings)} of the recordings is not known.")
    missing = census.tallies[AGE].all_recordings[None]
    if missing:
        limits.append(f"The age of {percent(missing, census.num_recordings)} of the recordings is not known.")
    if unanswered := sum(not getattr(answers, name).strip() for name in QUESTIONS):
        limits.append(
            f"{counted(unanswered, 'question')} below can be answered only by people, and nobody has done so."
        )
    return tuple(limits)


def _hints(census: Census, small: SmallCells) -> list[str]:
    """Say what the figures mean for `preparation` in a run's config."""
    extents = census.tallies[EXTENT].all_recordings
    rates, lengths = Counter[float](), Counter[float]()
    for extent, num in extents.items():
        rate, length = str(extent).removesuffix(" s").split(" Hz, ")
        rates[float(rate)] += num
        lengths[float(length)] += num
    hints = []
    if len(rates) > 1:
        hints.append(
            f"Sampling rates differ, from {min(rates):g} to {max(rates):g} Hz: preparation.rate_hz brings all to one. "
            f"Above {min(rates):g} Hz, those with less gain nothing, and a model may tell them apart by it."
        )
    else:
        hints.append(f"All are sampled at {min(rates):g} Hz; a preparation.rate_hz above it gains nothing.")
    if any(length < _USUAL_S for length in lengths):
        hints.append(
            f"Some are shorter than {_USUAL_S:g} s, see the table of lengths: choose preparation.duration_s so that "
            "few need padding, or preparation.pad: refuse."
        )
    flags = Counter[str]()
    for flag, num in census.tallies["flags"].all_patients.items():
        kind = str(flag).partition(":")[0]
        flags[kind] = max(flags[kind], num)
    common = max(small.least, _COMMON * census.num_patients)
    hints += [hint for kind, hint in _HINTS.items() if flags[kind] >= common]
    if any(flag.endswith("_reversal_suspected") for flag in flags):
        hints.append("Some electrodes look swapped: look at such recordings before trusting them.")
    return hints


def _privacy(small: SmallCells) -> str:
    return (
        "Names of patients and recordings are pseudonyms that only the holder of the key, or of the crosswalk beside "
        "it, can lead back. Files keep no name, record number, birth date, operator, device serial or free text. "
        "Times are shifted by one to ten years, by whole days and by another number for each patient. Ages above 89 "
        "are 90. Sites and codes stand as the joined table has them.\n\n"
        f"On this card, cells of fewer than {small.least} patients are held back or shown as {small.sign}, and so is "
        "what would give them away by subtraction; no smallest or largest value is shown. What was refused, "
        "was not believed or is not known is counted exactly, since that says nothing of a patient.\n\n"
        "What remains: an ECG is a trait of a person. Who has another ECG of a patient may find the patient in the "
        "corpus, and age, sex, site, rare codes and intervals narrow it down. The corpus is pseudonymous, not "
        "anonymous: keep it where you keep the ECGs."
    )


def _facts(census: Census, small: SmallCells) -> tuple[tuple[str, str], ...]:
    corpus = census.corpus
    manifest = corpus.manifest
    return (
        ("corpus hash", corpus.hash),
        ("schema version", str(manifest.schema_version)),
        ("made by", f"hemometric {manifest.package_version}"),
        ("card by", f"hemometric {__version__}"),
        ("ingests", str(manifest.num_ingests)),
        ("ingest config", manifest.ingest_config),
        (
            "joined table",
            f"{manifest.table.kind}{' ' if manifest.table.files else ''}{', '.join(manifest.table.files)}",
        ),
        ("table hash", manifest.table.sha256),
        ("pseudonym key", manifest.key_id),
        ("shards", f"{len(manifest.shards):,}"),
        ("quality measures", str(len(census.measures)) if census.measures else f"no column begins with {QUALITY}"),
        ("smallest cell", f"{small.least} patients"),
    )
