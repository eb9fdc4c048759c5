"""What there is, and what of it is new: sources found, table joined, corpus compared; nothing of `out` is written."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from hemometric import __version__
from hemometric.corpus.crosswalk import KeyedNames, Names, crosswalk_of
from hemometric.corpus.ingest_config import IngestConfig
from hemometric.corpus.labels import Label, check_distinct
from hemometric.corpus.ledger import Ledger, compare
from hemometric.corpus.manifest import SUCCESS
from hemometric.corpus.measured_rows import hash_of
from hemometric.corpus.measurements import labels_of
from hemometric.corpus.metadata import MetadataTable
from hemometric.corpus.named_sites import check_site_names, check_split
from hemometric.corpus.own_files import refuse_foreign
from hemometric.corpus.placement import first_names
from hemometric.corpus.pseudonyms import Key
from hemometric.corpus.reader import Corpus, open_corpus
from hemometric.corpus.schema import LINKS_SCHEMA, SCHEMA_VERSION
from hemometric.corpus.settings import differences, settled
from hemometric.corpus.split import FoldSplit, SiteSplit
from hemometric.corpus.stamps import Stamp, stamp_all
from hemometric.corpus.units import DEPOT, STAGING, IngestContext, Unit, unit_name
from hemometric.errors import IntegrityError, UsageError
from hemometric.vendors import Root, Source, find
from hemometric.vendors.guarded import guarded_vendors


@dataclass(frozen=True, eq=False)
class Survey:
    """What an ingest would begin with.

    Attributes
    ----------
    sources : tuple of Source
        All that were found, known ones too.
    stamps : tuple of Stamp
        Of each source.
    sizes : tuple of int
        Bytes of each source; of a file of several ECGs, their share.
    links : pyarrow.Table
        Patients that the config links.
    base : Corpus or None
        The corpus that lies in the folder and is added to.
    """

    context: IngestContext
    sources: tuple[Source, ...]
    stamps: tuple[Stamp, ...]
    sizes: tuple[int, ...]
    table: MetadataTable
    ledger: Ledger
    names: Names
    links: pa.Table
    base: Corpus | None


def survey(
    config: IngestConfig,
    roots: Sequence[Root],
    out: Path,
    key: Key,
    depot: Path,
    *,
    retry_quarantine: bool = False,
) -> Survey:
    """Find the sources, join the table, and compare both with the corpus that is there.

    Parameters
    ----------
    depot : Path
        Where archives are unpacked that cannot be read at random.

    Raises
    ------
    UsageError, IntegrityError, PrecheckError
        As for `ingest.prepare_ingest`.
    """
    vendors = guarded_vendors(config.formats, config.guard)
    refuse_foreign(out)
    sources = list(find(roots, vendors, archives=config.formats.archives, depot=depot))
    table = config.table.build(roots, sources)
    if isinstance(config.split, FoldSplit) and table.rows["fold"].null_count == len(table.rows):
        raise UsageError("split.kind: folds needs a table with folds; name its column as table.fold, or use kind: hash")
    key = replace(key, rules=config.identity.rules)
    links = _links(config, key)
    key = replace(key, aliases=first_names(links))
    context = IngestContext(out.resolve(), config, key, _labels(config, table), table.kind != "none")
    base = _base(context)
    if config.identity.rules.with_site:
        check_site_names(table, sources, base)
    if isinstance(config.split, SiteSplit):
        check_split(config.split, table, sources, is_new=base is None)
    stamps = stamp_all(sources, vendors)
    names = crosswalk_of(key) if config.pseudonyms == "random" else KeyedNames()
    ledger = compare(
        base, sources, stamps, table, hash_of(config.measurements), key, names, retry_quarantine=retry_quarantine
    )
    sizes = _sizes(sources, stamps)
    return Survey(context, tuple(sources), tuple(stamps), sizes, table, ledger, names, links, base)


def depot_of(out: Path) -> Path:
    """Give where an ingest unpacks what cannot be read at random; it goes with the staging folder."""
    return out.resolve() / STAGING / DEPOT


def units_of(surveyed: Survey, places: Sequence[int]) -> Iterator[Unit]:
    """Cut some sources, in order, after so many of them or so many bytes."""
    config, table, key = surveyed.context.config, surveyed.table, surveyed.context.key
    sources, stamps = [surveyed.sources[place] for place in places], [surveyed.stamps[place] for place in places]
    # What decides the cuts and the gate does not change a unit's content, so staged work outlives a change of it.
    essence = hashlib.sha256(
        json.dumps([SCHEMA_VERSION, __version__, settled(config), table.sha256, hash_of(config.measurements)]).encode()
    ).hexdigest()
    positions = table.positions([source.key for source in sources])
    for start, stop in _cuts([surveyed.sizes[place] for place in places], config.unit_recordings, config.unit_bytes):
        rows = positions[start:stop]
        chosen = tuple(sources[start:stop])
        yield Unit(
            name=unit_name(chosen, stamps[start:stop], essence, key),
            sources=chosen,
            stamps=tuple(stamps[start:stop]),
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


def _sizes(sources: Sequence[Source], stamps: Sequence[Stamp]) -> tuple[int, ...]:
    sizes: list[int] = []
    for _, lying_in_one in itertools.groupby(sources, key=lambda source: (source.place, source.path)):
        num = len(list(lying_in_one))
        num_bytes = stamps[len(sizes)].num_bytes
        sizes += [-(-num_bytes // num)] * num
    return tuple(sizes)


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
            told = differences(out, manifest.ingest_config, context.config) if what == "config" else ""
            raise UsageError(
                f"{out} already holds a corpus that was made with another {what}{f' ({told})' if told else ''}; "
                "choose another --out"
            )
    gone = [file.path for file in (*manifest.shards, manifest.quarantine) if not (out / file.path).is_file()]
    if gone:
        raise IntegrityError(f"{out / gone[0]} is missing; delete {out} and run the same command again")
    return corpus
