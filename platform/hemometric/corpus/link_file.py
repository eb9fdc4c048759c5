"""What the rows of a link file came to, once the corpus is there: one that joins nobody is mostly a slip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from hemometric.corpus.crosswalk import Names
from hemometric.corpus.identity import Identity, IdRules
from hemometric.corpus.ledger import links_of
from hemometric.corpus.placement import first_names
from hemometric.corpus.pseudonyms import Key
from hemometric.corpus.reader import Corpus
from hemometric.corpus.schema import LINKS_SCHEMA


@dataclass(frozen=True)
class LinkRows:
    """Counts; the first four add up to the rows of the file.

    Attributes
    ----------
    joining : int
        Rows of which an id is a patient's of the corpus, under that name or a linked one.
    unknown : int
        Rows of which neither is.
    unfit : int
        Rows with an id that is not as the rules' pattern says: no recording can have it.
    empty : int
        Rows that lack an id, name nobody, or link an id with itself.
    unsaid : int
        Patients who go under another's name though the file does not say so: since both have the same ECG, or since a
        row said so once.
    """

    joining: int
    unknown: int
    unfit: int
    empty: int
    unsaid: int


def count_rows(identity: Identity, key: Key, corpus: Corpus, names: Names) -> LinkRows:
    """Compare a link file with the patients of a corpus, a shard in memory at a time.

    Raises
    ------
    UsageError
        The file is missing or damaged, or lacks a column.
    IntegrityError
        The corpus is damaged.
    """
    own = replace(key, aliases={})
    fates: Counter[str] = Counter()
    pairs: list[tuple[str, str]] = []
    for first, second in identity.rows():
        fate = _unusable(identity.rules, first, second)
        fates[fate or "usable"] += 1
        if fate is None:
            pairs.append((own.patient(first or ""), own.patient(second or "")))
    columns = [pa.array(column, pa.string()) for column in (list(zip(*pairs, strict=True)) or [(), ()])]
    together = first_names(pa.table(columns, schema=LINKS_SCHEMA))
    known = {row["patient"]: row["known_as"] for row in links_of(corpus, names).to_pylist()}

    def spellings(name: str) -> Iterator[str]:
        for one in (name, together.get(name, name)):
            yield one
            yield known.get(one, one)

    wanted = {one for pair in pairs for name in pair for one in spellings(name)}
    held = _held(corpus, names, wanted | set(known.values()))
    joining = sum(any(one in held for name in pair for one in spellings(name)) for pair in pairs)
    others = [(name, other) for name, other in known.items() if other in held]
    unsaid = sum(together.get(name, name) != together.get(other, other) for name, other in others)
    return LinkRows(joining, len(pairs) - joining, fates["unfit"], fates["empty"], unsaid)


def _unusable(rules: IdRules, first: str | None, second: str | None) -> str | None:
    if rules.names_nobody(first) or rules.names_nobody(second) or rules.normal(first) == rules.normal(second):
        return "empty"
    return None if all(rules.fits(rules.normal(one)) for one in (first, second)) else "unfit"


def _held(corpus: Corpus, names: Names, wanted: set[str]) -> set[str]:
    """Give those of some keyed names under which a patient of the corpus goes."""
    held: set[str] = set()
    for shard in corpus.manifest.shards:
        patients = names.keyed(pc.unique(corpus.shard_table(shard, ["patient"])["patient"].combine_chunks()))
        held.update(wanted.intersection(patients.to_pylist()))
    return held
