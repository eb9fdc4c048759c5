"""All numbers of a data card, read from a corpus in two passes over its columns; its signals are not touched.

The first pass finds how numbers are spread, and so the bins of their histograms; the second counts the recordings and
patients of every bin and name. Memory holds a batch of rows, and the patients of shards that overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hemometric.corpus import SPLITS, Corpus, Label, ShardEntry, Split
from hemometric.corpus.reader import open_parquet
from hemometric.ecg import Float64
from hemometric.evaluation.datacard.spread import Spread, nice_edges
from hemometric.evaluation.datacard.tally import Repeats, Tally, binned, keyed, listed, owned

AGE = "age_years"
AGE_EDGES = (*(float(age) for age in range(0, 100, 10)), np.inf)
QUALITY = "quality."
EXTENT, NATIVE, TIMED, PRESENT, KNOWN = "extent", "native", "timed", "present:", "known:"
NONE, SOME = "none", "some"
_BATCH_ROWS = 1 << 16
_TAIL = 0.005
_FEWEST_BINS, _MOST_BINS = 8, 30
_PLAIN = ("site", "sex", "source_format")
_LISTS = ("flags", "leads")
_ALWAYS = ("rate_hz", "num_samples", "quantisation_error_mv", "acquired", AGE, *_PLAIN, *_LISTS)

Question = Callable[[pa.Table], pa.Table]
"""From rows of a corpus to ``owner`` and ``cell``."""


@dataclass
class Numbers:
    """How one column of numbers is spread.

    Attributes
    ----------
    splits : dict
        From a split to its numbers.
    edges : tuple of float
        Of the bins; `Census.tallies` counts them under the column's name.
    """

    splits: dict[Split, Spread] = field(default_factory=lambda: {split: Spread() for split in SPLITS})
    edges: tuple[float, ...] = (0.0, 1.0)

    @property
    def all(self) -> Spread:
        """Of all splits together."""
        together = Spread()
        for one in self.splits.values():
            together.merge(one)
        return together


@dataclass
class Census:
    """The numbers.

    Attributes
    ----------
    corpus : Corpus
    numbers : dict
        From a column to its spread: ``age_years``, labels that are numbers, and ``quality.<measure>``.
    tallies : dict
        Counts by column; those of no column are ``extent`` (rate and length), ``native`` (counts as the device stored
        them), ``timed`` (time of acquisition known), ``present:<label>`` and ``known:<label of codes>``.
    repeats : Repeats
    num_aliases : int
        Patient names that turned out to be another patient's.
    """

    corpus: Corpus
    numbers: dict[str, Numbers]
    tallies: dict[str, Tally]
    repeats: Repeats
    num_aliases: int

    @property
    def labels(self) -> tuple[Label, ...]:
        """Of the corpus, by name."""
        return tuple(sorted(self.corpus.manifest.labels, key=lambda label: label.name))

    @property
    def measures(self) -> tuple[str, ...]:
        """Quality measures that the corpus has, as columns."""
        return tuple(name for name in self.numbers if name.startswith(QUALITY))

    @property
    def num_recordings(self) -> int:
        """Recordings of the corpus."""
        return self.corpus.manifest.counts.accepted

    @property
    def num_patients(self) -> int:
        """Patients of the corpus."""
        return sum(split.patients for split in self.corpus.manifest.counts.splits.values())


def count_corpus(corpus: Corpus) -> Census:
    """Count a whole corpus.

    Raises
    ------
    IntegrityError
        A file of it is missing or damaged.
    """
    numbers = {name: Numbers() for name in _number_columns(corpus)}
    first: dict[str, str] = {}  # from a shard's path to the first owner in it
    for split in SPLITS:
        for shard in corpus.shards([split]):
            for rows in _batches(corpus, shard, tuple(numbers)):
                owner = pc.min(rows["owner"]).as_py()
                first[shard.path] = min(first.get(shard.path, owner), owner)
                for name, found in numbers.items():
                    found.splits[split].add(_floats(rows[name]))
    for found in numbers.values():
        found.edges = _edges(found)
    numbers[AGE].edges = AGE_EDGES

    questions = _questions(corpus, numbers)
    tallies = {name: Tally() for name in questions}
    repeats = Repeats()
    columns = tuple(dict.fromkeys((*_ALWAYS, *numbers, *(label.column for label in corpus.manifest.labels))))
    for split in SPLITS:
        for shard, before in _in_order(corpus.shards([split]), first):
            for rows in _batches(corpus, shard, columns):
                repeats.add(rows.select(["owner", "acquired"]))
                for name, question in questions.items():
                    tallies[name].add(question(rows))
            repeats.settle(before)
            for tally in tallies.values():
                tally.settle(split, before)
    return Census(corpus, numbers, tallies, repeats, corpus.links().num_rows)


def _number_columns(corpus: Corpus) -> list[str]:
    labels = {label.column for label in corpus.manifest.labels if label.kind != "codes"}
    return [AGE, *(name for name in corpus.schema.names if name in labels or name.startswith(QUALITY))]


def _in_order(shards: Sequence[ShardEntry], first: Mapping[str, str]) -> Iterator[tuple[ShardEntry, str | None]]:
    """Give the shards of a split by their first owners, each with the first owner that may have rows after it."""
    ordered = sorted(shards, key=lambda shard: (first.get(shard.path, ""), shard.number))
    for place, shard in enumerate(ordered, start=1):
        yield shard, first.get(ordered[place].path, "") if place < len(ordered) else None


def _batches(corpus: Corpus, shard: ShardEntry, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Give rows of a shard with the columns that are asked for and ``owner``."""
    with open_parquet(corpus.path, shard, corpus.schema) as file:
        for batch in file.iter_batches(_BATCH_ROWS, columns=["partition", "patient", *columns]):
            if batch.num_rows:
                yield owned(pa.Table.from_batches([batch]))


def _floats(column: pa.ChunkedArray) -> Float64:
    if pa.types.is_list(column.type):
        column = pc.list_flatten(column)
    floats: Float64 = pc.drop_null(column).cast(pa.float64()).to_numpy()
    return floats


def _edges(found: Numbers) -> tuple[float, ...]:
    """Choose bins, the fewer the less numbers the smallest split has (Rice's rule), so that few are held back."""
    spread = found.all
    if not spread.num:
        return (0.0, 1.0)
    smallest = min(one.num for one in found.splits.values() if one.num)
    num_bins = min(max(round(2 * smallest ** (1 / 3)), _FEWEST_BINS), _MOST_BINS)
    low, high = spread.percentile(_TAIL), spread.percentile(1 - _TAIL)
    return nice_edges(low, high, is_whole=spread.is_whole, num=num_bins)


def _questions(corpus: Corpus, numbers: dict[str, Numbers]) -> dict[str, Question]:
    questions: dict[str, Question] = {name: _plain(name) for name in _PLAIN}
    questions |= {name: _list(name) for name in _LISTS}
    questions |= {name: _bins(name, found.edges) for name, found in numbers.items()}
    questions |= {EXTENT: _extent, NATIVE: _native, TIMED: lambda rows: keyed(rows, pc.is_valid(rows["acquired"]))}
    for label in corpus.manifest.labels:
        questions[PRESENT + label.column] = _present(label.column)
        if label.kind == "codes":
            questions |= {label.column: _list(label.column), KNOWN + label.column: _known(label.column)}
    return questions


def _plain(name: str) -> Question:
    return lambda rows: keyed(rows, rows[name])


def _list(name: str) -> Question:
    return lambda rows: listed(rows, name)


def _bins(name: str, edges: tuple[float, ...]) -> Question:
    return lambda rows: binned(rows, name, edges)


def _present(name: str) -> Question:
    return lambda rows: keyed(rows, pc.is_valid(rows[name]))


def _known(name: str) -> Question:
    """Tell sets of codes that are not known from those that are empty."""
    return lambda rows: keyed(rows, pc.if_else(pc.equal(pc.list_value_length(rows[name]), 0), NONE, SOME))


def _extent(rows: pa.Table) -> pa.Table:
    """Name rate and length; lengths to half a second, so that their number is small."""
    rates, samples = rows["rate_hz"].to_numpy(), rows["num_samples"].to_numpy()
    halves = np.rint(2 * samples / rates).astype(np.int64)
    pairs, places = np.unique(np.stack([rates, halves], axis=1), axis=0, return_inverse=True)
    names = [f"{rate:g} Hz, {half / 2:.1f} s" for rate, half in pairs.tolist()]
    return keyed(rows, pa.array(np.array(names, dtype=object)[places.ravel()], pa.string()))


def _native(rows: pa.Table) -> pa.Table:
    return keyed(rows, pc.equal(rows["quantisation_error_mv"], 0.0))
