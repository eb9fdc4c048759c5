"""What an ingest would do and cost, from its sources' names and a sample of them; nothing of its folder is written."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hemometric.corpus import SPLITS, HashSplit, SiteSplit
from hemometric.corpus.ledger import with_keyed
from hemometric.corpus.measured_rows import stage_measurements
from hemometric.corpus.notes import Noted, count
from hemometric.corpus.planned import num_known
from hemometric.corpus.pseudonyms import Key, default_key_path, load_or_create_key
from hemometric.corpus.survey import Survey, survey, units_of
from hemometric.corpus.units import read_unit
from hemometric.errors import UsageError
from hemometric.progress import as_clock
from hemometric.runs.ingest import IngestRun, not_followed
from hemometric.runs.ingest_summary import listed, nulled_lines, unpaired, unusable
from hemometric.runs.site_counts import SiteCounts
from hemometric.runs.words import counted
from hemometric.vendors.scratch import scratch

SAMPLE = 200
"""Recordings that are read, spread evenly over the keys."""

_MAX_SAMPLE_S, _STEP = 60.0, 25
_NUM_SPLITS = 3
_RAY_S = 15.0  # from the first process of a session of its own to the first task
_SECRET_BYTES = 32


@dataclass
class Sample:
    """What reading some of the new recordings gave.

    Attributes
    ----------
    staged_bytes, corpus_bytes : int
        What the accepted ones take while they are staged, and compressed.
    reading_s : float
        Of one process, the start of its reader left out.
    notes : list of pyarrow.ChunkedArray
        Of the accepted ones; see `corpus.notes`.
    splits : Counter
        Accepted ones by split.
    """

    num: int = 0
    num_accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    staged_bytes: int = 0
    corpus_bytes: int = 0
    reading_s: float = 0.0
    notes: list[pa.ChunkedArray] = field(default_factory=list)
    splits: Counter[str] = field(default_factory=Counter)

    def scaled(self, num_bytes: int, num: int) -> int:
        """Say how many bytes `num` recordings would take, of which the sample took so many."""
        return round(num_bytes / self.num * num) if self.num else 0


def run(config: IngestRun) -> list[str]:
    """Look at all sources, read a sample of the new ones in this process, and say what was found.

    Raises
    ------
    UsageError, IntegrityError, PrecheckError, PrivacyError
        As the ingest itself would.
    """
    _refuse_unwritable(config.out)
    with scratch() as folder:
        found = survey(
            config.ingest,
            config.sources,
            config.out,
            _key(config.key),
            folder,
            retry_quarantine=config.retry_quarantine,
        )
        found = _with_measurements(found, folder)
        return [*_found(found), *not_followed(config.sources), *_expected(found, _sampled(found), config)]


def _with_measurements(found: Survey, folder: Path) -> Survey:
    """Read the tables of measurements as the ingest would, so that what is wrong with them is said now."""
    context = found.context
    if not context.config.measurements or not found.ledger.fresh:
        return found
    measured = stage_measurements(context.config.measurements, folder, context.key)
    return replace(found, context=replace(context, measured=measured))


def _key(path: Path | None) -> Key:
    """Take the key that an ingest would; where it would make one, another that is kept nowhere."""
    if path is None and not default_key_path().exists():
        return Key(os.urandom(_SECRET_BYTES).hex().encode(), default_key_path())
    return load_or_create_key(path)


def _refuse_unwritable(out: Path) -> None:
    place = out
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise UsageError(f"{out} cannot be a folder: a file has that name; choose another place")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f"folder {out} cannot be written: Permission denied; allow it, or choose another --out")


def _found(found: Survey) -> list[str]:
    """Say what there is, and what of it is known."""
    ledger, num = found.ledger, len(found.sources)
    formats = Counter(source.format for source in found.sources)
    listed = ", ".join(f"{name} {count}" for name, count in formats.most_common())
    lines = [f"found: {counted(num, 'recording')} ({listed}), {_size(sum(found.sizes))}"]
    num_new = len(ledger.fresh) - len(ledger.replaced) - len(ledger.released)
    states = {
        "new": num_new,
        "known": num - len(ledger.fresh) - _num_refused(found),
        "changed": len(ledger.replaced),
        "refused before": _num_refused(found),
        "refused before, to be read again": len(ledger.released),
    }
    lines.append(", ".join(f"{name} {count}" for name, count in states.items() if count or name in ("new", "known")))
    if found.context.has_table:
        positions = found.table.positions([source.key for source in found.sources])
        unmatched = int((positions < 0).sum())
        lines.append(f"table: {num - unmatched} recordings have a row, {unmatched} have none")
        rule, sites, rows = found.context.config.split, SiteCounts(), found.table.take(positions)
        sites.add(
            rows["site"],
            rows["patient_id"],
            lambda site: rule.of_recording(None, site, None) if isinstance(rule, SiteSplit) else None,
        )
        lines += sites.lines()
    return lines


def _num_refused(found: Survey) -> int:
    """Count the sources that the corpus has refused and that stay so."""
    if found.base is None:
        return 0
    refused = set(with_keyed(found.base.quarantine(), found.names)["recording_id"].to_pylist())
    return len(refused & set(found.ledger.stamps["recording_id"].to_pylist())) - len(found.ledger.released)


def spread(places: Sequence[int], num: int) -> list[int]:
    """Choose `num` of some places, the first and the last among them, at even distances; all where there are fewer."""
    if len(places) <= num:
        return list(places)
    return [places[round(step * (len(places) - 1) / (num - 1))] for step in range(num)]


def _sampled(found: Survey) -> Sample:
    chosen = spread(found.ledger.fresh, SAMPLE)
    sample = Sample()
    if not chosen:
        return sample
    for unit in units_of(found, chosen[:1]):  # starts the reading process, which costs nothing in a long ingest
        read_unit(found.context, unit)
    for start in range(0, len(chosen), _STEP):
        for unit in units_of(found, chosen[start : start + _STEP]):
            began_s = time.perf_counter()
            content = read_unit(found.context, unit)
            sample.reading_s += time.perf_counter() - began_s
            sample.num += len(unit.sources)
            sample.num_accepted += len(content.table)
            sample.refused.update(reason for _, reason, *_ in content.rejected)
            sample.staged_bytes += content.table.nbytes
            sample.corpus_bytes += _compressed(content.table) if len(content.table) else 0
            sample.notes.append(content.table["notes"])
            sample.splits.update(_splits(found, content.table))
        if sample.reading_s > _MAX_SAMPLE_S:
            break
    return sample


def _splits(found: Survey, rows: pa.Table) -> list[str]:
    """Say where staged rows would go; those of a hash are placed with their shards."""
    split = found.context.config.split
    if isinstance(split, HashSplit):
        return [split.of_patient(found.context.key, patient) for patient in rows["patient"].to_pylist()]
    places: list[str] = rows["split"].to_pylist()
    return places


def _compressed(table: pa.Table) -> int:
    """Say what a table takes as the shards are written."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=False)
    return int(sink.tell())


def _expected(found: Survey, sample: Sample, config: IngestRun) -> list[str]:
    """Say what the sample says of all that would be read."""
    num = len(found.ledger.fresh)
    if not sample.num:
        return ["nothing new to read"]
    share = 1 - sample.num_accepted / sample.num
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(sample.refused.items()))
    lines = [f"sample: {sample.num} of {num} read, {share:.1%} refused" + (f" ({reasons})" if reasons else "")]
    limit = config.ingest.max_rejected_fraction
    if share * (num - len(found.ledger.released)) > limit * num_known(found.ledger, found.base):
        ends = "end without a corpus" if found.base is None else "add nothing"
        lines.append(f"careful: max_rejected_fraction is {limit:g}; the ingest would {ends}")
    lines += _told_of(found, sample)
    staged, corpus = (sample.scaled(of, num) for of in (sample.staged_bytes, sample.corpus_bytes))
    num_shards = max(_NUM_SPLITS, math.ceil(staged / config.ingest.shard_bytes))
    lines.append(
        f"expected: {round((1 - share) * num)} accepted before duplicates are left out, "
        f"{_size(corpus)} in about {counted(num_shards, 'shard')}"
    )
    per_s = sample.num / max(sample.reading_s, 1e-9)
    workers = max(1, config.workers)
    start_s, start = (_RAY_S, f", {_RAY_S:.0f} s of it for Ray to start,") if config.workers else (0.0, "")
    lines.append(
        f"reading: {per_s:,.0f} ECG/s measured in one process; about {as_clock(start_s + num / (per_s * workers))} for "
        f"all{start} with {counted(workers, 'worker')}, and then the shards are written"
    )
    free, needed = _free(config.out), staged + corpus
    lines.append(f"room: about {_size(needed)} needed while it runs, {_size(free)} free")
    if needed > free:
        lines.append("careful: the disk of out is too small; free some space or choose another --out")
    return lines


def _told_of(found: Survey, sample: Sample) -> list[str]:
    """Say what the tables and the rule of splits mean for the sample's accepted recordings."""
    measured = found.context.measured
    noted: Noted = count(sample.notes, measured.names if measured else ())
    lines = []
    lines += nulled_lines(noted.nulled, "of the sample, ")
    for name, outcomes in noted.paired.items():
        fates = measured.counts[name] if measured else {}
        lines.append(f"{name}: the sample's ECGs {listed(outcomes)}; its table's values {listed(fates)}")
    if measured:
        lines += [*unusable(measured.counts), *unpaired(noted.paired, measured.counts, "ECG of the sample")]
    lines.append("splits of the sample: " + ", ".join(f"{name} {sample.splits[name]}" for name in SPLITS))
    empty = [name for name in SPLITS if not sample.splits[name]]
    if empty and sample.num_accepted and found.base is None:
        lines.append(f"careful: no recording of the sample is in {' or '.join(empty)}; see ingest.split")
    return lines


def _free(out: Path) -> int:
    place = out.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 10**8 else f"{num_bytes / 1e6:.2f} MB"
