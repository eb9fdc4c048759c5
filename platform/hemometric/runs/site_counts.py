"""How many recordings each site has: a name that nobody meant shows there, and in which split it lies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

import pyarrow as pa

from hemometric.corpus import Corpus
from hemometric.runs.words import counted

_NUM_SHOWN = 10
_MIN_PATIENTS = 5
"""Of a site that is named, as in a data card: what few have may be somebody's name, from a wrong column."""


class SiteCounts:
    """Counts recordings by site and split; of their patients it keeps only as many as tell that there are enough."""

    def __init__(self) -> None:
        self._num: dict[str | None, Counter[str]] = defaultdict(Counter)
        self._patients: dict[str | None, set[str]] = defaultdict(set)

    def add(
        self, site: pa.ChunkedArray, patient: pa.ChunkedArray, split_of: Callable[[str | None], str | None]
    ) -> None:
        """Count recordings, a cell each; `split_of` gives the split of a site, None where it decides none."""
        rows = pa.table({"site": site, "patient": patient}).group_by("site")
        for row in rows.aggregate([([], "count_all"), ("patient", "distinct")]).to_pylist():
            self._num[row["site"]][split_of(row["site"]) or ""] += row["count_all"]
            lacking = _MIN_PATIENTS - len(self._patients[row["site"]])
            known = [name for name in row["patient_distinct"] if name is not None]
            fresh = [name for name in known if name not in self._patients[row["site"]]]
            self._patients[row["site"]].update(fresh[: max(0, lacking)])

    def lines(self) -> list[str]:
        """Say the sites, the largest first; nothing where no recording has one."""
        sites = sorted((site for site in self._num if site is not None), key=lambda site: (-self._total(site), site))
        if not sites:
            return []
        large = [site for site in sites if len(self._patients[site]) >= _MIN_PATIENTS]
        told = [f"{site} {self._of([site])}" for site in large[:_NUM_SHOWN]]
        if more := large[_NUM_SHOWN:]:
            told.append(f"{len(more)} more {self._of(more)}")
        if small := [site for site in sites if site not in set(large)]:
            told.append(f"{counted(len(small), 'site')} of fewer than {_MIN_PATIENTS} patients {self._of(small)}")
        if None in self._num:
            told.append(f"none {self._of([None])}")
        return [f"sites: {', '.join(told)}"]

    def _total(self, site: str | None) -> int:
        return self._num[site].total()

    def _of(self, sites: list[str] | list[None]) -> str:
        """Write the recordings of sites, and of each split where the split is by sites."""
        num = sum((self._num[site] for site in sites), Counter())
        named = ", ".join(f"{split} {count}" for split, count in sorted(num.items()) if split)
        return f"{num.total()} ({named})" if named else str(num.total())


def site_lines(corpus: Corpus) -> list[str]:
    """Say how many recordings of a corpus are of each site, a shard in memory at a time."""
    counts = SiteCounts()
    is_by_site = corpus.manifest.split.kind == "sites"
    for shard in corpus.manifest.shards:
        table = corpus.shard_table(shard, ["site", "patient"])
        split = shard.split if is_by_site else None
        counts.add(table["site"], table["patient"], lambda _, split=split: split)  # type: ignore[misc]
    return counts.lines()
