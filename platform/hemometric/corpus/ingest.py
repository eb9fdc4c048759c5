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

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
from filelock import FileLock, Timeout

from hemometric.corpus.crosswalk import Names
from hemometric.corpus.files import make_folder, need_room
from hemometric.corpus.ingest_config import IngestConfig
from hemometric.corpus.ledger import Ledger, links_of
from hemometric.corpus.manifest import Manifest, TableEntry
from hemometric.corpus.measured_rows import stage_measurements
from hemometric.corpus.own_files import LOCK, MARK, is_ours, mark, refuse_foreign, remove_halves, staged_files
from hemometric.corpus.placement import brings_links
from hemometric.corpus.pseudonyms import Key
from hemometric.corpus.reader import Corpus
from hemometric.corpus.settings import keep_settings
from hemometric.corpus.source_table import POINTER
from hemometric.corpus.survey import depot_of, survey, units_of
from hemometric.corpus.tidying import leave, tidy
from hemometric.corpus.units import IngestContext, Unit
from hemometric.errors import DataRejectedError, PrecheckError, PrivacyError, UsageError
from hemometric.vendors import Root, Source

_REFUSALS = (UsageError, DataRejectedError, PrivacyError)
"""Ends after which nobody may ever come back; a full disk, a kill or a failed cluster is come back from."""


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
    """Hold and mark the folder while writing; a killed process lets go of it by itself.

    A run that ends refused leaves nothing but staged work, and no folder that holds none; in somebody's own folder it
    changes nothing.

    Raises
    ------
    PrecheckError
        Another process is writing there.
    UsageError
        The folder cannot be made or written, or holds what no ingest has written, see `own_files.refuse_foreign`.
    """
    if not is_ours(out):
        refuse_foreign(out)
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    marks = {name: not (out / name).exists() for name in (LOCK, MARK, POINTER)}
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
        mark(out)
        yield
    except _REFUSALS:
        with suppress(OSError):  # what keeps it from being tidied is not what was refused
            leave(out, made, marks)
        raise
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
    surveyed = survey(config, roots, out, key, depot_of(out), retry_quarantine=retry_quarantine)
    context, ledger, base = surveyed.context, surveyed.ledger, surveyed.base
    names, links = surveyed.names, surveyed.links
    entry = TableEntry(kind=surveyed.table.kind, files=surveyed.table.files, sha256=surveyed.table.sha256)
    if base is not None and not ledger.fresh and not brings_links(links, links_of(base, names)):
        tidy(out, base.manifest, ledger)
        keep_settings(out, config)
        return IngestPlan(context, (), surveyed.sources, entry, ledger, names, links, base, base.manifest)
    units = tuple(units_of(surveyed, ledger.fresh))
    make_folder(context.staging)
    remove_halves(out)
    if config.measurements:
        context = replace(context, measured=stage_measurements(config.measurements, context.staging, context.key))
    _clear(context, {unit.name for unit in units})
    staged = sum(path.stat().st_size for path in context.staging.glob("*.arrow"))
    of_fresh = sum(surveyed.sizes[place] for place in ledger.fresh)
    need_room(out, max(0, of_fresh - staged), "this ingest")
    return IngestPlan(context, units, surveyed.sources, entry, ledger, names, links, base)


def _clear(context: IngestContext, names: set[str]) -> None:
    """Remove units and measurements of other inputs, which no try will use."""
    kept = names if context.measured is None else {*names, context.measured.path.stem}
    for path in staged_files(context.out):
        if path.name.startswith(("unit-", "measurements-")) and path.stem not in kept:
            path.unlink()
