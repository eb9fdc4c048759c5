"""Which sources a corpus has seen, so that an ingest into it reads only what is new, changed or wanted again.

What was read is told by the keyed hash of its bytes, which stands in the corpus and in its quarantine. Beside the
manifest, which must stay free of clocks, lie sizes and times: where these agree, nothing is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemometric.corpus.crosswalk import Names
from hemometric.corpus.files import replacing
from hemometric.corpus.metadata import MetadataTable
from hemometric.corpus.pseudonyms import Key
from hemometric.corpus.reader import Corpus
from hemometric.corpus.schema import REMOVED
from hemometric.corpus.stamps import CHANGED, Stamp, contents_of, facts_of
from hemometric.vendors import Source

STAMPS = ".stamps"
_STAMPS_SCHEMA = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("recording_id", "stamp")])


@dataclass(frozen=True, eq=False)
class Ledger:
    """What there is to do.

    Attributes
    ----------
    fresh : tuple of int
        Places of the sources that must be read.
    replaced : frozenset of str
        Recordings of the corpus whose source has changed: what is read now takes their place.
    released : frozenset of str
        Recordings of the quarantine that are read again.
    stamps : pyarrow.Table
        Names, sizes and times of all sources, keyed; see `write_stamps`.
    """

    fresh: tuple[int, ...]
    replaced: frozenset[str]
    released: frozenset[str]
    stamps: pa.Table

    def without_stamps(self, names: frozenset[str]) -> Ledger:
        """Forget how the files of some recordings look now: the next ingest will look at their bytes."""
        there = pc.is_in(self.stamps["recording_id"], pa.array(sorted(names), pa.string()))
        return replace(self, stamps=self.stamps.filter(pc.invert(there)))


def compare(
    corpus: Corpus | None,
    sources: Sequence[Source],
    stamps: Sequence[Stamp],
    table: MetadataTable,
    measurements: str,
    key: Key,
    names: Names,
    *,
    retry_quarantine: bool,
) -> Ledger:
    """Compare sources, and what the tables say of them, with what a corpus has seen.

    The bytes of a source are hashed only where its size or time differs from what was kept, or nothing was kept. A
    source that is gone stays in the corpus. What was removed on request is never read again, whatever is asked for.

    Parameters
    ----------
    measurements : str
        Hash of the tables of measurements: with another one, any recording may have other labels.
    """
    ids = [key.recording_id(source.key) for source in sources]
    seen = [_stamp_of(stamp, key) for stamp in stamps]
    found = pa.table([pa.array(ids, pa.string()), pa.array(seen, pa.string())], schema=_STAMPS_SCHEMA)
    if corpus is None:
        return Ledger(tuple(range(len(ids))), frozenset(), frozenset(), found)
    accepted = _known(with_keyed(corpus.table(columns=["recording_id", "content", "facts"]), names))
    quarantine = with_keyed(corpus.quarantine(), names)
    refused = _known(quarantine)
    kept = _read_stamps(corpus.path)
    facts = _facts(corpus, sources, table, measurements, key)
    is_removed = pc.equal(quarantine["reason"], REMOVED)
    removed = frozenset(quarantine["recording_id"].filter(is_removed).to_pylist())
    fresh: set[int] = set()
    in_doubt: dict[int, str] = {}  # place, and the content that is known
    for place, (name, stamp) in enumerate(zip(ids, seen, strict=True)):
        known = accepted.get(name) or refused.get(name)
        if name in removed:
            continue
        if (
            known is None
            or known[0] == CHANGED  # nobody knows its bytes, whatever the times of its files say
            or (retry_quarantine and name in refused)
            or (facts and facts[place] != known[1])
        ):
            fresh.add(place)
        elif kept.get(name) != stamp:
            in_doubt[place] = known[0]
    if in_doubt:
        suffixes = [stamps[place].suffixes for place in in_doubt]
        contents = contents_of([sources[place] for place in in_doubt], suffixes, key)
        fresh |= {place for (place, known), now in zip(in_doubt.items(), contents, strict=True) if now != known}
    replaced = frozenset(ids[place] for place in fresh if ids[place] in accepted)
    if replaced:  # a duplicate of what changes may be one no more
        same_as = dict(zip(quarantine["recording_id"].to_pylist(), quarantine["same_as"].to_pylist(), strict=True))
        fresh |= {place for place, name in enumerate(ids) if same_as.get(name) in replaced}
    released = frozenset(ids[place] for place in fresh if ids[place] in refused)
    return Ledger(tuple(sorted(fresh)), replaced, released, found)


def with_keyed(table: pa.Table, names: Names) -> pa.Table:
    """Put the keyed names in place of those that a corpus shows."""
    return _renamed(table, names.keyed)


def with_published(table: pa.Table, names: Names) -> pa.Table:
    """Put the names that a corpus shows in place of the keyed ones."""
    return _renamed(table, names.published)


def links_of(corpus: Corpus, names: Names) -> pa.Table:
    """Read which keyed patients go under another's name."""
    return with_keyed(corpus.links(), names)


def _renamed(table: pa.Table, rename: Callable[[pa.Array], pa.Array]) -> pa.Table:
    for name in ("recording_id", "patient", "known_as", "same_as"):
        if name in table.column_names:
            place = table.column_names.index(name)
            column = table[name].combine_chunks()
            there = pc.is_valid(column)
            renamed = pc.replace_with_mask(column, there, rename(column.filter(there)))
            table = table.set_column(place, table.schema.field(name), renamed)
    return table


def _known(table: pa.Table) -> dict[str, tuple[str, str]]:
    pairs = zip(table["content"].to_pylist(), table["facts"].to_pylist(), strict=True)
    return dict(zip(table["recording_id"].to_pylist(), pairs, strict=True))


def _facts(
    corpus: Corpus, sources: Sequence[Source], table: MetadataTable, measurements: str, key: Key
) -> list[str] | None:
    """Hash what the tables say of each source; None where they are those that the corpus was made with."""
    manifest = corpus.manifest
    if (table.sha256, measurements) == (manifest.table.sha256, manifest.measurements):
        return None
    rows = table.take(table.positions([source.key for source in sources]))
    return [
        facts_of(row, measurements, key) for batch in rows.to_batches(max_chunksize=10_000) for row in batch.to_pylist()
    ]


def write_stamps(out: Path, ledger: Ledger) -> None:
    """Keep sizes and times beside the corpus; those of sources that were not found this time are kept too."""
    before = _read_stamps(out)
    found = zip(ledger.stamps["recording_id"].to_pylist(), ledger.stamps["stamp"].to_pylist(), strict=True)
    kept = before | dict(found)
    if kept == before:
        return
    names = sorted(kept)
    table = pa.table([pa.array(names), pa.array([kept[name] for name in names], pa.string())], schema=_STAMPS_SCHEMA)
    with replacing(out / STAMPS) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _read_stamps(out: Path) -> dict[str, str]:
    """Read what was kept; nothing where it is gone or damaged, so that the bytes are compared."""
    try:
        table = pq.read_table(out / STAMPS, schema=_STAMPS_SCHEMA)
    except (OSError, pa.ArrowException):
        return {}
    return dict(zip(table["recording_id"].to_pylist(), table["stamp"].to_pylist(), strict=True))


def _stamp_of(stamp: Stamp, key: Key) -> str:
    return key.digest("stamp", hashlib.sha256(json.dumps(stamp).encode()).digest())[:16]
