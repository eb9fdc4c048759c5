"""Units: a few hundred sources read, checked, pseudonymised and staged as one Arrow file, whole or not at all.

A staged file is uncompressed and memory-mapped: a shard takes its few rows of each unit without reading the rest.
Parquet would have to be decompressed whole for each of the shards that take a row of it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from hemometric.corpus.files import replacing, sha256_of, write_bytes
from hemometric.corpus.ingest_config import IngestConfig
from hemometric.corpus.labels import Label
from hemometric.corpus.measured_rows import Measured, hash_of
from hemometric.corpus.metadata import NULLED
from hemometric.corpus.notes import notes_of
from hemometric.corpus.pairing import Paired, Pairing
from hemometric.corpus.pseudonyms import Key
from hemometric.corpus.schema import row_of, staged_schema
from hemometric.corpus.sketch import sketch
from hemometric.corpus.split import HashSplit
from hemometric.corpus.stamps import CHANGED, Stamp, contents_of, facts_of, is_unchanged
from hemometric.ecg import Recording, Rejected
from hemometric.errors import IntegrityError
from hemometric.vendors import Source
from hemometric.vendors.guarded import read_guarded
from hemometric.vendors.places import local
from hemometric.waveform import assess

STAGING = "staging"
DEPOT = ".unpacked"
"""In the staging folder; hidden, so that it is no source where the corpus lies in one."""

_YEARS = (1900, 2999)  # archives shift dates into the future, one of them into the year 2704
_NOTE_FIELDS = {"num_sources", "num_accepted", "num_unmatched", "rejected", "sha256"}


@dataclass(frozen=True)
class IngestContext:
    """What every step needs to know; travels to workers, so it holds plain values only.

    `out` must be the same folder on every node.
    """

    out: Path
    config: IngestConfig
    key: Key
    labels: tuple[Label, ...]
    has_table: bool
    measured: Measured | None = None

    @property
    def staging(self) -> Path:
        """The folder of staged units."""
        return self.out / STAGING


@dataclass(frozen=True, eq=False)
class Unit:
    """Sources that are read by one call, with the table's rows for them.

    Attributes
    ----------
    name : str
        ``unit-<hash>`` of the sources' keys, sizes and times, the table and the config: other inputs, other name.
    stamps : tuple of Stamp
        Of each source's files, as they were when the sources were surveyed.
    metadata : pyarrow.Table
        One row for each source, null where the table has none.
    matched : tuple of bool
        Whether the table has a row for the source.
    """

    name: str
    sources: tuple[Source, ...]
    stamps: tuple[Stamp, ...]
    metadata: pa.Table
    matched: tuple[bool, ...]


@dataclass(frozen=True)
class UnitSummary:
    """What became of a unit; `resumed` says that it was there already."""

    name: str
    num_sources: int
    num_accepted: int
    rejected: dict[str, int]
    resumed: bool = False


@dataclass(frozen=True, eq=False)
class ReadUnit:
    """Rows of the accepted recordings in the order of the sources, and all that must be counted.

    Attributes
    ----------
    rejected : list of tuple
        As `schema.QUARANTINE_SCHEMA` says.
    num_unmatched : int
        Sources, accepted or not, for which the table has no row.
    """

    table: pa.Table
    rejected: list[tuple[str, ...]]
    num_unmatched: int


def read_unit(context: IngestContext, unit: Unit) -> ReadUnit:
    """Read, check and name each source of a unit.

    Its files are looked at again after they were hashed and read: of a source that changed in between nobody can say
    which bytes were read, so its hash is `CHANGED`.
    """
    rows: list[dict[str, Any]] = []
    rejected: list[tuple[str, ...]] = []
    measurements = hash_of(context.config.measurements)
    pairing = None if context.measured is None else Pairing(context.measured)
    with (
        local(unit.sources) as sources,
        closing(contents_of(sources, [stamp.suffixes for stamp in unit.stamps], context.key)) as contents,
    ):
        found = read_guarded(sources, context.config.formats, context.config.guard)
        each = zip(sources, unit.metadata.to_pylist(), contents, found, strict=True)
        for place, (source, metadata, hashed, one) in enumerate(each):
            is_known = is_unchanged(unit.sources[place], source, unit.stamps[place])
            content = hashed if is_known else CHANGED
            facts = facts_of(metadata, measurements, context.key)
            row = one if isinstance(one, Rejected) else _row(context, source, one, metadata)
            if isinstance(row, Rejected):
                rejected.append((context.key.recording_id(source.key), row.reason, row.detail, content, facts))
            else:
                near = Paired({}, {}) if pairing is None else pairing.paired(row["patient"], row["acquired"])
                has_row = unit.matched[place] or not context.has_table
                notes = notes_of(has_row=has_row, nulled=metadata[NULLED] or (), outcomes=near.outcomes)
                rows.append({**row, **near.columns, "content": content, "facts": facts, "notes": notes})
    table = pa.Table.from_pylist(rows, schema=staged_schema(context.labels))
    return ReadUnit(table, sorted(rejected), unit.matched.count(False) if context.has_table else 0)


def _row(
    context: IngestContext, source: Source, recording: Recording, metadata: dict[str, Any]
) -> dict[str, Any] | Rejected:
    config, key = context.config, context.key
    given = (metadata["patient_id"], recording.patient_id)
    patient_id = next((one for one in given if not key.rules.is_nobody(one)), None)
    if patient_id and key.rules.with_site:
        if metadata["site"] is None:
            return Rejected(source.key, "bad_patient_id", "the patient's id has no site; see identity.rules.with_site")
        patient_id = f"{metadata['site']}/{patient_id}"
    if patient_id and not key.rules.fits(key.rules.normal(patient_id)):
        spelt = ", with the other rules applied and in small letters," if key.rules.case == "fold" else ""
        return Rejected(source.key, "bad_patient_id", f"the patient's id{spelt} is not as identity.rules.pattern says")
    if patient_id:
        patient = key.patient(patient_id)
    elif config.patients == "recording_is_patient":
        patient = key.patient_of(source.key)
    else:
        remedy = "ingest.patients: recording_is_patient would take it for a patient of its own"
        return Rejected(source.key, "missing_patient", f"neither the table nor the file names the patient; {remedy}")
    acquired = metadata.get("acquired") or recording.acquired
    if acquired is not None and not _YEARS[0] <= acquired.year <= _YEARS[1]:
        acquired = None  # a clock that was never set; and calendars end
    split: str | None = None
    if not isinstance(config.split, HashSplit):
        facts = (metadata["fold"], metadata["site"], acquired)
        split = config.split.of_recording(*facts)
        if split is None:
            return Rejected(source.key, "no_split", f"the recording {config.split.why_none(*facts)}")
    assessed = assess(recording, config.quality)
    if isinstance(assessed, Rejected):
        return assessed
    return row_of(
        assessed.recording,
        recording_id=key.recording_id(source.key),
        patient=patient,
        split=split,
        acquired=None if acquired is None else acquired + key.date_shift(patient),
        flags=assessed.flags,
        quality=assessed.quality,
        sketched=sketch(assessed.recording),
        metadata=metadata,
    )


def stage_unit(context: IngestContext, unit: Unit) -> UnitSummary:
    """Read a unit and write it to the staging folder; one that lies there undamaged is left as it is.

    Raises
    ------
    PrecheckError
        The disk is full.
    """
    note = _intact_note(context.staging, unit.name)
    resumed = note is not None
    if note is None:
        content = read_unit(context, unit)
        path = staged_path(context.staging, unit.name)
        with replacing(path) as temporary, pa.OSFile(str(temporary), "wb") as file:
            with pa.ipc.new_file(file, content.table.schema) as writer:
                writer.write_table(content.table.combine_chunks())
            file.flush()
            digest = sha256_of(temporary)
        note = {
            "num_sources": len(unit.sources),
            "num_accepted": content.table.num_rows,
            "num_unmatched": content.num_unmatched,
            "rejected": content.rejected,
            "sha256": digest,
        }
        # The note comes last: a unit without one was never finished.
        write_bytes(path.with_suffix(".json"), json.dumps(note).encode())
    reasons = Counter(reason for _, reason, *_ in note["rejected"])
    return UnitSummary(unit.name, note["num_sources"], note["num_accepted"], dict(sorted(reasons.items())), resumed)


def staged_path(staging: Path, name: str) -> Path:
    """Give the place of a staged unit."""
    return staging / f"{name}.arrow"


def read_note(staging: Path, name: str) -> dict[str, Any]:
    """Read what a staged unit's note says of its counts and rejections.

    Raises
    ------
    IntegrityError
        The unit was not staged, or its note is damaged.
    """
    path = staging / f"{name}.json"
    try:
        note = json.loads(path.read_bytes())
    except (OSError, ValueError):
        note = None
    if not isinstance(note, dict) or not note.keys() >= _NOTE_FIELDS:
        raise IntegrityError(f"{path} is missing or damaged; run the same `hemometric ingest` again")
    return note


def open_staged(staging: Path, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Map the rows of a staged unit; only the pages of what is then used are read.

    Raises
    ------
    IntegrityError
        The unit is missing or damaged.
    """
    path = staged_path(staging, name)
    try:
        with pa.memory_map(str(path)) as file:  # closing gives the handle back; the mapping lives on with the table
            table = pa.ipc.open_file(file).read_all()
    except (OSError, pa.ArrowException):
        raise IntegrityError(f"{path} is missing or damaged; run the same `hemometric ingest` again") from None
    return table if columns is None else table.select(columns)


def _intact_note(staging: Path, name: str) -> dict[str, Any] | None:
    path = staged_path(staging, name)
    try:
        note = read_note(staging, name)
        return note if path.is_file() and sha256_of(path) == note["sha256"] else None
    except (IntegrityError, OSError):
        return None


def unit_name(sources: Sequence[Source], stamps: Sequence[Stamp], essence: str, key: Key) -> str:
    """Name a unit by all that its content follows from.

    Parameters
    ----------
    stamps : sequence of Stamp
        Of each source's files: a file that changed between two tries is read again.
    essence : str
        Hash of the rest: table, config, versions.
    """
    content = json.dumps([essence, [(s.key, s.format, *stamp) for s, stamp in zip(sources, stamps, strict=True)]])
    return f"unit-{key.digest('unit', hashlib.sha256(content.encode()).digest())[:24]}"
