"""What a corpus holds, in a few lines; and warnings where a table was read in a way that nobody can have meant."""

from __future__ import annotations

from collections.abc import Mapping

from hemometric.corpus import SPLITS
from hemometric.corpus.labels import LABEL_PREFIX
from hemometric.corpus.link_file import LinkRows
from hemometric.corpus.manifest import Counts, Manifest
from hemometric.corpus.metadata import UNREADABLE
from hemometric.runs.words import counted

_LOST = 0.9
"""Share of a field's values that, lost, tell of a wrong column or a wrong way to read it."""


def summary(manifest: Manifest) -> list[str]:
    """Say what a corpus holds, in a few lines."""
    counts = manifest.counts
    found = counted(counts.found, "recording")
    lines = [f"{counts.accepted} of {found} accepted, in {counted(len(manifest.shards), 'shard')}"]
    if counts.rejected:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.rejected.items()))
        lines.append(f"refused: {reasons} (see `hemometric quarantine list`)")
    if counts.unmatched and manifest.table.kind != "none":
        lines.append(f"{counts.unmatched} recordings have no row in the table")
    lines += [*nulled_lines(counts.nulled), *_lost(counts)]
    for name, outcomes in sorted(counts.paired.items()):
        lines.append(f"{name}: ECGs {listed(outcomes)}; its table's values {listed(counts.measurements[name])}")
    lines += [*unusable(counts.measurements), *unpaired(counts.paired, counts.measurements)]
    splits = ", ".join(
        f"{name} {counts.splits[name].recordings} of {counts.splits[name].patients} patients" for name in SPLITS
    )
    lines.append(f"splits: {splits}")
    if empty := [name for name in SPLITS if not counts.splits[name].recordings]:
        lines.append(f"careful: no recording is in {' or '.join(empty)}; see ingest.split")
    if counts.labels:
        lines.append("labels: " + ", ".join(f"{name} on {count}" for name, count in sorted(counts.labels.items())))
    return lines


def nulled_lines(nulled: Mapping[str, int], whose: str = "") -> list[str]:
    """Say which values became absent, those that could not be read apart from those out of range."""
    unread = {name.removesuffix(UNREADABLE): num for name, num in nulled.items() if name.endswith(UNREADABLE)}
    beyond = {name: num for name, num in nulled.items() if not name.endswith(UNREADABLE)}
    lines = [f"{whose}values that cannot be read, now absent: {listed(unread)}"] if unread else []
    return lines + ([f"{whose}values out of range, now absent: {listed(beyond)}"] if beyond else [])


def _lost(counts: Counts) -> list[str]:
    """Warn of fields that lost nearly all of their values."""
    lines = []
    for name, num in sorted(counts.nulled.items()):
        field = name.removesuffix(UNREADABLE)
        label = field.removeprefix(LABEL_PREFIX)
        present = counts.labels.get(label, 0) if field != label else counts.accepted - counts.unmatched - num
        if num >= _LOST * (num + max(0, present)):
            is_unread = name.endswith(UNREADABLE)
            what, see = ("cannot be read", _READ) if is_unread else ("are out of range", _RANGE)
            lines.append(f"careful: nearly all values of {field} {what}; see {see.get(field, see[''])}")
    return lines


_READ = {
    "age_years": "its column (table.age) and decimal",
    "sex": "its column (table.sex) and table.sexes",
    "fold": "its column (table.fold)",
    "acquired": "its column (table.acquired), time_format and time_zone",
    "": "its column, separator and decimal",
}
_RANGE = {"age_years": "its column (table.age): it holds years", "": "its unit, source_unit, low and high"}


def unusable(measurements: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Warn of labels none of whose values could be used, because of how their table was read."""
    lines = []
    for name, fates in sorted(measurements.items()):
        stated = sum(fates.values()) - fates.get("no_value", 0)
        if stated and fates.get("unreadable", 0) == stated:
            lines.append(f"careful: no value of {name} is a readable number; see decimal and delimiter of its table")
        elif stated and fates.get("unknown_unit", 0) == stated:
            lines.append(f"careful: no value of {name} has a unit that can be converted; see unit and source_unit")
        elif stated and fates.get("unreadable", 0) + fates.get("unknown_unit", 0) == stated:
            lines.append(f"careful: no value of {name} is a readable number of a known unit; see decimal and unit")
        elif not sum(fates.values()):
            lines.append(f"careful: no row of its table is a value of {name}; see its items")
        elif not stated:
            lines.append(f"careful: no row of its table has a value of {name}; see its column")
    return lines


def unpaired(
    paired: Mapping[str, Mapping[str, int]], measurements: Mapping[str, Mapping[str, int]], who: str = "ECG"
) -> list[str]:
    """Warn of labels of measurements that no ECG has though their table's values could be used."""
    return [
        f"careful: no {who} has a value of {name}; see {_advice(outcomes)}"
        for name, outcomes in sorted(paired.items())
        if sum(outcomes.values()) and not outcomes["paired"] and measurements.get(name, {}).get("used")
    ]


def _advice(outcomes: Mapping[str, int]) -> str:
    """Name the fields that most ECGs without a value come from."""
    fields = {
        "no_time": "the ECGs' own time (table.acquired)",
        "no_partner": "the table's patient and items, and identity.rules",
        "out_of_window": "the table's time, time_format and pair",
    }
    return fields[max(fields, key=lambda outcome: outcomes[outcome])]


def link_lines(rows: LinkRows) -> list[str]:
    """Say what the rows of a link file came to, and that a link which was taken out of it stays."""
    num = rows.joining + rows.unknown + rows.unfit + rows.empty
    parts = {
        "of patients of the corpus": rows.joining,
        "of nobody in it": rows.unknown,
        "with an id that identity.rules.pattern refuses": rows.unfit,
        "without two ids": rows.empty,
    }
    told = ", ".join(f"{count} {what}" for what, count in parts.items() if count or what == "of patients of the corpus")
    lines = [f"link file: {counted(num, 'row')}, {told}"]
    if num and not rows.joining:
        lines.append("careful: the link file joins nobody; see that its ids are spelt as in the table, identity.rules")
    if rows.unsaid:
        goes = "goes" if rows.unsaid == 1 else "go"
        lines.append(
            f"{counted(rows.unsaid, 'patient')} {goes} under another's name, which the link file does not say: both "
            "have the same ECG, or it once did; links stay, and a corpus without one must be made anew"
        )
    return lines


def listed(counts: Mapping[str, int]) -> str:
    """Write counts that are not 0, by name."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if count) or "none"
