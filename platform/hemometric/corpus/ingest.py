"""An ingest in steps that a plain loop and Ray tasks call alike.

Each step is a pure function of its arguments and of the files that earlier steps left; all arguments travel
(pickle), each file appears whole or not at all, and a step that is called again skips what is there. So::

    key = load_or_create_key(key_file)                            # say key.path when key.created
    with ingest_lock(out):                                        # one writer; PrecheckError for the second
        plan = prepare_ingest(config, roots, out, key)
        if plan.finished is None:                                 # else: the same inputs, nothing to do
            for unit in plan.units:                               # any order, any worker
                stage_unit(plan.context, unit)                    # -> UnitSummary
            shards = plan_shards(plan)                            # DataRejectedError beyond the threshold
            entries = [write_shard(plan.context, shard) for shard in shards]    # any order, any worker
            manifest = commit(plan, entries)                      # the same bytes, however it went

A run that was killed anywhere is run again with the same arguments.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from hemometric import __version__
from hemometric.config import fingerprint
from hemometric.corpus.files import make_folder, need_room, remove_temporaries, sha256_of, write_bytes
from hemometric.corpus.ingest_config import IngestConfig
from hemometric.corpus.manifest import (
    MANIFEST,
    QUARANTINE,
    SUCCESS,
    Manifest,
    TableEntry,
    parse_manifest,
    read_manifest,
)
from hemometric.corpus.metadata import MetadataTable
from hemometric.corpus.pseudonyms import Key
from hemometric.corpus.schema import SCHEMA_VERSION
from hemometric.corpus.shards import SHARDS, ShardPlan, check_rows, cut_shards, staged_rows
from hemometric.corpus.split import FoldSplit
from hemometric.corpus.stamps import STAMPS, Stamp, is_unchanged, stamp_all, times_of
from hemometric.corpus.units import STAGING, IngestContext, Unit, read_note, unit_name
from hemometric.errors import DataRejectedError, IntegrityError, PrecheckError, UsageError
from hemometric.vendors import Source, find

LOCK = ".lock"
_OURS = {MANIFEST, QUARANTINE, SUCCESS, SHARDS, STAGING, LOCK}


@dataclass(frozen=True, eq=False)
class IngestPlan:
    """What there is to do.

    Attributes
    ----------
    units : tuple of Unit
        Work for `stage_unit`; empty when `finished` is there.
    finished : Manifest or None
        The corpus that lies in the folder already and came from the same inputs.
    inputs : str
        See `Manifest.inputs`.
    times : str
        See `stamps.Stamps`; taken before the first source is read.
    """

    context: IngestContext
    units: tuple[Unit, ...]
    num_found: int
    inputs: str
    times: str
    table: TableEntry
    finished: Manifest | None = None

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


def prepare_ingest(config: IngestConfig, roots: Sequence[Path], out: Path, key: Key) -> IngestPlan:
    """Find the sources, join the table, and cut the work into units; call it under `ingest_lock`.

    Raises
    ------
    UsageError
        A source is missing or there is none at all, two have the same name, the table does not fit, or `out` holds
        something else.
    PrecheckError
        The disk is too small.
    """
    sources = _find_all(roots, out)
    table = config.table.build(roots)
    if isinstance(config.split, FoldSplit) and table.rows["fold"].null_count == len(table.rows):
        raise UsageError("split.kind: folds needs a table with folds; name its column as table.fold, or use kind: hash")
    stamps = stamp_all(sources)
    times = times_of(sources, stamps, key)
    inputs = _inputs(config, table, sources, stamps, key)
    entry = TableEntry(kind=table.kind, files=table.files, sha256=table.sha256)
    context = IngestContext(out.resolve(), config, key, table.labels, table.kind != "none")
    finished = _finished(out, inputs, lambda: is_unchanged(out, sources, stamps, key))
    if finished is not None:
        return IngestPlan(context, (), len(sources), inputs, times, entry, finished)
    units = tuple(_units(config, table, sources, stamps, key))
    _clear(context, {unit.name for unit in units})
    staged = sum(path.stat().st_size for path in context.staging.glob("*.arrow"))
    need_room(out, max(0, sum(stamp.num_bytes for stamp in stamps) - staged), "this ingest")
    return IngestPlan(context, units, len(sources), inputs, times, entry)


def plan_shards(plan: IngestPlan) -> list[ShardPlan]:
    """Decide the shards, after all units were staged.

    Raises
    ------
    DataRejectedError
        More was refused than `max_rejected_fraction` allows, or everything was.
    UsageError
        Two sources have the same name.
    IntegrityError
        A patient lies in two splits, or a unit was not staged.
    """
    staging = plan.context.staging
    reasons = Counter(reason for name in plan.unit_names for _, reason, _ in read_note(staging, name)["rejected"])
    _check_rejected(plan, reasons)
    rows = staged_rows(staging, plan.unit_names)
    check_rows(rows)
    return cut_shards(rows, plan.unit_names, plan.context.config.shard_bytes)


def _check_rejected(plan: IngestPlan, reasons: Counter[str]) -> None:
    num_rejected = reasons.total()
    limit = plan.context.config.max_rejected_fraction
    if num_rejected < plan.num_found and num_rejected <= limit * plan.num_found:
        return
    listed = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    remedy = "mend the sources, or raise max_rejected_fraction"
    if reasons.most_common(1)[0][0] == "missing_patient":
        remedy = "give a table that names the patients, or set patients: recording_is_patient"
    raise DataRejectedError(
        f"{num_rejected} of {plan.num_found} recordings were refused ({listed}), and max_rejected_fraction is "
        f"{limit:g}: no corpus was written; {remedy}"
    )


def _find_all(roots: Sequence[Path], out: Path) -> list[Source]:
    try:
        names = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    except OSError as error:
        raise UsageError(
            f"folder {out} cannot be listed: {error.strerror}; allow it, or choose another --out"
        ) from None
    foreign = [name for name in names if name not in _OURS and not name.startswith(".")]
    if foreign:
        raise UsageError(f"folder {out} holds other things ({foreign[0]}); choose another --out")
    return list(find(roots))


def _inputs(
    config: IngestConfig, table: MetadataTable, sources: Sequence[Source], stamps: Sequence[Stamp], key: Key
) -> str:
    """Hash what the corpus follows from; no clock and no folder, so that a moved archive is still the same."""
    digest = hashlib.sha256(json.dumps([SCHEMA_VERSION, fingerprint(config), table.kind, table.sha256]).encode())
    for source, stamp in zip(sources, stamps, strict=True):
        digest.update(json.dumps([source.key, source.format, stamp.num_bytes]).encode())
    return key.digest("inputs", digest.digest())


def _finished(out: Path, inputs: str, is_same: Callable[[], bool]) -> Manifest | None:
    """Give the corpus that lies there if it came from these inputs; do the last step where a kill has cut it off."""
    manifest_path = out / MANIFEST
    if (out / SUCCESS).exists():
        manifest, _ = read_manifest(out)
        if manifest.inputs != inputs:
            raise UsageError(
                f"{out} already holds another corpus (other sources, table, key or config); choose another --out"
            )
        if not is_same():
            raise UsageError(
                f"{out} already holds another corpus: a source has changed since, or {out / STAMPS}, which would tell, "
                "is gone; choose another --out"
            )
        gone = [file.path for file in (*manifest.shards, manifest.quarantine) if not (out / file.path).is_file()]
        if gone:
            raise IntegrityError(f"{out / gone[0]} is missing; delete {out} and run the same command again")
        return manifest
    if not manifest_path.is_file() or (out / STAGING).exists():
        return None
    content = manifest_path.read_bytes()
    manifest = parse_manifest(content, str(manifest_path))
    files = (*manifest.shards, manifest.quarantine)
    if manifest.inputs != inputs or any(
        not (out / file.path).is_file() or sha256_of(out / file.path) != file.sha256 for file in files
    ):
        return None
    if not is_same():
        return None
    remove_temporaries(out)
    write_bytes(out / SUCCESS, hashlib.sha256(content).hexdigest().encode() + b"\n")
    return manifest


def _units(
    config: IngestConfig, table: MetadataTable, sources: Sequence[Source], stamps: Sequence[Stamp], key: Key
) -> Iterator[Unit]:
    """Cut the sources, in order, after so many of them or so many bytes."""
    # What decides the cuts and the gate does not change a unit's content, so staged work outlives a change of it.
    plain = IngestConfig()
    neutral = {
        name: getattr(plain, name) for name in ("max_rejected_fraction", "unit_recordings", "unit_bytes", "shard_bytes")
    }
    staged_config = fingerprint(config.model_copy(update=neutral))
    essence = hashlib.sha256(
        json.dumps([SCHEMA_VERSION, __version__, staged_config, table.sha256]).encode()
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
