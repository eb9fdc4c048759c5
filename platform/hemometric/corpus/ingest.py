"""An ingest in steps that a plain loop and Ray tasks call alike.

Each step is a pure function of its arguments and of the files that earlier steps left; all arguments travel
(pickle), each file appears whole or not at all, and a step that is called again skips what is there. So::

    key = load_or_create_key(key_file)                            # say key.path when key.created
    with ingest_lock(out):                                        # one writer; PrecheckError for the second
        plan = prepare_ingest(config, roots, out, key)
        if plan.finished is None:                                 # else: nothing new
            for unit in plan.units:                               # any order, any worker
                stage_unit(plan.context, unit)                    # -> UnitSummary
            planned = plan_shards(plan)                           # DataRejectedError beyond the threshold
            entries = [write_shard(plan.context, shard) for shard in planned.shards]     # any order, any worker
            entries += [rewrite_shard(plan.context, rewrite) for rewrite in planned.rewrites]
            manifest = commit(plan, planned, entries)             # the same bytes, however it went

A run that was killed anywhere is run again with the same arguments. A corpus that is there is added to: what it has
seen stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
from filelock import FileLock, Timeout

from hemometric import __version__
from hemometric.config import fingerprint
from hemometric.corpus.crosswalk import KeyedNames, Names, crosswalk_of
from hemometric.corpus.files import make_folder, need_room, remove_temporaries
from hemometric.corpus.ingest_config import IngestConfig
from hemometric.corpus.labels import Label, check_distinct
from hemometric.corpus.ledger import Ledger, compare, links_of
from hemometric.corpus.manifest import LINKS, MANIFEST, QUARANTINE, SUCCESS, Manifest, TableEntry
from hemometric.corpus.measured_rows import hash_of, stage_measurements
from hemometric.corpus.measurements import labels_of
from hemometric.corpus.metadata import MetadataTable
from hemometric.corpus.placement import brings_links, first_names
from hemometric.corpus.pseudonyms import Key
from hemometric.corpus.reader import Corpus, open_corpus
from hemometric.corpus.schema import LINKS_SCHEMA, SCHEMA_VERSION
from hemometric.corpus.shards import SHARDS
from hemometric.corpus.split import FoldSplit
from hemometric.corpus.stamps import Stamp, stamp_all
from hemometric.corpus.tidying import tidy
from hemometric.corpus.units import STAGING, IngestContext, Unit, unit_name
from hemometric.errors import IntegrityError, PrecheckError, UsageError
from hemometric.vendors import Root, Source, Vendor, find

LOCK = ".lock"
_OURS = re.compile(rf"{MANIFEST}|(?:{QUARANTINE}|{LINKS})(?:-[0-9]{{5}})?\.parquet|{SUCCESS}|{SHARDS}|{STAGING}")


@dataclass(frozen=True, eq=False)
class IngestPlan:
    """What there is to do.

    Attributes
    ----------
    units : tuple of Unit
        Work for `stage_unit`; empty when `finished` is there.
    sources : tuple of Source
        All that was found, known ones too.
    ledger : Ledger
        Which of them are new, and what they replace.
    names : Names
        How the names of patients and recordings appear in the corpus.
    links : pyarrow.Table
        Keyed pseudonyms of the link file that are one person's; see `schema.LINKS_SCHEMA`.
    base : Corpus or None
        The corpus that lies in the folder and is added to.
    finished : Manifest or None
        Its manifest, where it has seen all sources already.
    """

    context: IngestContext
    units: tuple[Unit, ...]
    sources: tuple[Source, ...]
    table: TableEntry
    ledger: Ledger
    names: Names
    links: pa.Table
    base: Corpus | None = None
    finished: Manifest | None = None

    @property
    def num_fresh(self) -> int:
        """Sources that are read."""
        return len(self.ledger.fresh)

    @property
    def unit_names(self) -> tuple[str, ...]:
        """Names of the units, in the order of the sources."""
        return tuple(unit.name for unit in self.units)


@contextmanager
def ingest_lock(out: Path) -> Iterator[None]:
    """Hold the folder while writing; a killed process lets go of it by itself.

    Raises
    ------
    PrecheckError
        Another process is writing there.
    UsageError
        The folder cannot be made, or not be written.
    """
    make_folder(out)
    lock = FileLock(out / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise PrecheckError(f"another ingest is writing into {out}; wait for it, or choose another --out") from None
    except OSError as error:
        raise UsageError(
            f"folder {out} cannot be written: {error.strerror}; allow it, or choose another --out"
        ) from None
    try:
        yield
    finally:
        lock.release()


def prepare_ingest(
    config: IngestConfig, roots: Sequence[Root], out: Path, key: Key, *, retry_quarantine: bool = False
) -> IngestPlan:
    """Find the sources, join the table, and cut what is new into units; call it under `ingest_lock`.

    Into a finished corpus go the sources that it has not seen and those whose bytes have changed; with
    `retry_quarantine`, those too that it has refused.

    Raises
    ------
    UsageError
        A source is missing or there is none at all, two have the same name, the table does not fit, or `out` holds
        something else.
    IntegrityError
        The corpus that lies there is damaged.
    PrecheckError
        The disk is too small.
    """
    vendors = config.formats.build()
    sources = _find_all(roots, out, config, vendors)
    table = config.table.build(roots, sources)
    if isinstance(config.split, FoldSplit) and table.rows["fold"].null_count == len(table.rows):
        raise UsageError("split.kind: folds needs a table with folds; name its column as table.fold, or use kind: hash")
    key = replace(key, rules=config.identity.rules)
    links = _links(config, key)
    key = replace(key, aliases=first_names(links))
    context = IngestContext(out.resolve(), config, key, _labels(config, table), table.kind != "none")
    base = _base(context)
    stamps = stamp_all(sources, vendors)
    names = crosswalk_of(key) if config.pseudonyms == "random" else KeyedNames()
    ledger = compare(
        base, sources, stamps, table, hash_of(config.measurements), key, names, retry_quarantine=retry_quarantine
    )
    entry = TableEntry(kind=table.kind, files=table.files, sha256=table.sha256)
    if base is not None and not ledger.fresh and not brings_links(links, links_of(base, names)):
        tidy(out, base.manifest, ledger)
        return IngestPlan(context, (), tuple(sources), entry, ledger, names, links, base, base.manifest)
    fresh, of_fresh = [sources[place] for place in ledger.fresh], [stamps[place] for place in ledger.fresh]
    units = tuple(_units(config, table, fresh, of_fresh, key))
    _clear(context, {unit.name for unit in units})
    if config.measurements:
        context = replace(context, measured=stage_measurements(config.measurements, context.staging, key))
    staged = sum(path.stat().st_size for path in context.staging.glob("*.arrow"))
    need_room(out, max(0, sum(stamp.num_bytes for stamp in of_fresh) - staged), "this ingest")
    return IngestPlan(context, units, tuple(sources), entry, ledger, names, links, base)


def _links(config: IngestConfig, key: Key) -> pa.Table:
    pairs = sorted({(key.patient(first), key.patient(second)) for first, second in config.identity.links()})
    columns = list(zip(*pairs, strict=True)) or [()] * len(LINKS_SCHEMA)
    return pa.table([pa.array(column, pa.string()) for column in columns], schema=LINKS_SCHEMA)


def _labels(config: IngestConfig, table: MetadataTable) -> tuple[Label, ...]:
    labels = (*table.labels, *labels_of(config.measurements))
    try:
        check_distinct(labels)
    except ValueError as error:
        raise UsageError(f"table and measurements: {error}") from None
    return labels


def settled(config: IngestConfig) -> str:
    """Hash what of a config decides the content of a corpus: not how work is cut, guarded or given up."""
    plain = IngestConfig()
    neutral = ("max_rejected_fraction", "unit_recordings", "unit_bytes", "shard_bytes", "guard")
    return fingerprint(config.model_copy(update={name: getattr(plain, name) for name in neutral}))


def depot_of(out: Path) -> Path:
    """Give where an ingest unpacks what cannot be read at random; it goes with the staging folder.

    Hidden, so that it is no source where `out` lies in one.
    """
    return out.resolve() / STAGING / ".unpacked"


def _find_all(roots: Sequence[Root], out: Path, config: IngestConfig, vendors: Sequence[Vendor]) -> list[Source]:
    try:
        names = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    except OSError as error:
        raise UsageError(
            f"folder {out} cannot be listed: {error.strerror}; allow it, or choose another --out"
        ) from None
    foreign = [name for name in names if not _OURS.fullmatch(name) and not name.startswith(".")]
    if foreign:
        raise UsageError(f"folder {out} holds other things ({foreign[0]}); choose another --out")
    return list(find(roots, vendors, archives=config.formats.archives, depot=depot_of(out)))


def _base(context: IngestContext) -> Corpus | None:
    """Open the corpus that lies there, if it can take what this ingest would bring."""
    out = context.out
    if not (out / SUCCESS).exists():
        return None
    corpus = open_corpus(out)
    manifest = corpus.manifest
    ours = {
        "key": (manifest.key_id, context.key.key_id),
        "config": (manifest.ingest_config, settled(context.config)),
        "set of labels": ({label.name for label in manifest.labels}, {label.name for label in context.labels}),
    }
    for what, (there, here) in ours.items():
        if there != here:
            raise UsageError(f"{out} already holds a corpus that was made with another {what}; choose another --out")
    gone = [file.path for file in (*manifest.shards, manifest.quarantine) if not (out / file.path).is_file()]
    if gone:
        raise IntegrityError(f"{out / gone[0]} is missing; delete {out} and run the same command again")
    return corpus


def _units(
    config: IngestConfig, table: MetadataTable, sources: Sequence[Source], stamps: Sequence[Stamp], key: Key
) -> Iterator[Unit]:
    """Cut the sources, in order, after so many of them or so many bytes."""
    # What decides the cuts and the gate does not change a unit's content, so staged work outlives a change of it.
    essence = hashlib.sha256(
        json.dumps([SCHEMA_VERSION, __version__, settled(config), table.sha256, hash_of(config.measurements)]).encode()
    ).hexdigest()
    positions = table.positions([source.key for source in sources])
    for start, stop in _cuts([stamp.num_bytes for stamp in stamps], config.unit_recordings, config.unit_bytes):
        rows = positions[start:stop]
        chosen = tuple(sources[start:stop])
        yield Unit(
            name=unit_name(chosen, stamps[start:stop], essence, key),
            sources=chosen,
            suffixes=tuple(stamp.suffixes for stamp in stamps[start:stop]),
            metadata=table.take(rows),
            matched=tuple((rows >= 0).tolist()),
        )


def _cuts(sizes: Sequence[int], max_count: int, max_bytes: int) -> Iterator[tuple[int, int]]:
    start, held = 0, 0
    for index, size in enumerate(sizes):
        if index > start and (index - start == max_count or held + size > max_bytes):
            yield start, index
            start, held = index, 0
        held += size
    yield start, len(sizes)


def _clear(context: IngestContext, names: set[str]) -> None:
    """Remove what killed writers left, and units of other inputs."""
    make_folder(context.staging)
    remove_temporaries(context.out)
    for path in context.staging.glob("unit-*"):
        if path.stem not in names:
            path.unlink()
