"""Names of sites that may be a slip: one would send a test hospital into training, or make two people of one.

A site may be somebody's name, where the wrong column was given as the table's: a refusal says a site of the table only
where several patients have it, and else its row.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hemometric.corpus.metadata import MetadataTable, at_rows
from hemometric.corpus.reader import Corpus
from hemometric.corpus.site_names import folded, is_near
from hemometric.corpus.split import SiteSplit
from hemometric.errors import UsageError
from hemometric.vendors import Source

Rows = Mapping[str, Sequence[int]]
"""From each site to its rows of the table, in the order of the first of them."""

_NUM_SHOWN = 10
_MIN_PATIENTS = 5
"""Of a site that is said, as in a data card."""


def check_split(split: SiteSplit, table: MetadataTable, sources: Sequence[Source], *, is_new: bool) -> None:
    """Refuse a split that names what no ECG has, and ECGs of a site that it does not name but nearly does.

    Parameters
    ----------
    is_new : bool
        Whether a corpus begins: its config cannot be changed afterwards, while an addition need not have every site.

    Raises
    ------
    UsageError
        It says what may have been meant.
    """
    if is_new and (absent := split.absent(sites := _rows_of(table, sources))):
        raise _absent(absent, sorted(sites), table)
    _refuse(lambda rows_of: _slip(split, rows_of, table), table, sources)


def check_site_names(table: MetadataTable, sources: Sequence[Source], base: Corpus | None) -> None:
    """Refuse sites that cannot tell equal numbers of several hospitals apart, for ``identity.rules.with_site``.

    Raises
    ------
    UsageError
        There is no site, one has a slash, which ends the site in ``site/id``, or two differ by capitals and blanks
        alone, so that one person would be two, of two splits.
    """
    there = [] if base is None else pc.unique(base.table(columns=["site"])["site"]).drop_null().to_pylist()
    _refuse(lambda rows_of: _ambiguous(rows_of, there, table), table, sources)


def _refuse(problem_in: Callable[[Rows], str], table: MetadataTable, sources: Sequence[Source]) -> None:
    """Refuse a problem of the rows that ECGs have; looking at the whole table first is quick, and mostly enough."""
    if problem_in(_rows_of(table)) and (problem := problem_in(_rows_of(table, sources))):
        raise UsageError(problem)


def _slip(split: SiteSplit, rows_of: Rows, table: MetadataTable) -> str:
    for site, rows in rows_of.items():
        if site in split.named or site in split.apart:
            continue
        if meant := next((name for name in split.named if is_near(site, name)), None):
            return (
                f"ingest.split: table {', '.join(table.files)}: a site that no list names differs little from "
                f"{meant!r}, {at_rows(rows)}; write it so there, or list it in ingest.split.apart if it is another one"
            )
    return ""


def _ambiguous(rows_of: Rows, there: Sequence[str], table: MetadataTable) -> str:
    where = f"identity.rules.with_site: table {', '.join(table.files)}:"
    if not rows_of:
        return (
            "identity.rules.with_site: no ECG has a site; name its column as ingest.table.site, or leave with_site out"
        )
    seen = {folded(site): site for site in there}
    for site, rows in rows_of.items():
        if "/" in site:
            return f"{where} a site has a slash, which parts site and id, {at_rows(rows)}; write it without"
        other = seen.setdefault(folded(site), site)
        if other != site and site not in there:
            first = f"the one {at_rows(rows_of[other])}" if other in rows_of else "one in the corpus"
            return (
                f"{where} the site {at_rows(rows)} differs from {first} by capitals or blanks alone, so that a person "
                "of both would be two; write each site in one way"
            )
    return ""


def _absent(absent: Sequence[str], sites: Sequence[str], table: MetadataTable) -> UsageError:
    if not sites:
        return UsageError("ingest.split: no ECG has a site; name its column as ingest.table.site, or use another kind")
    told = _tellable(sites, table)
    close = [difflib.get_close_matches(site, told, n=1) for site in absent]
    meant = ", ".join(dict.fromkeys(repr(found[0]) for found in close if found))
    hint = f"did you mean {meant}? The" if meant else "the"
    return UsageError(
        f"ingest.split: no ECG is of site {', '.join(map(repr, absent))}; {hint} sites here are "
        f"{_listed(told, len(sites) - len(told))}; list those that come later in ingest.split.not_yet"
    )


def _tellable(sites: Sequence[str], table: MetadataTable) -> list[str]:
    """Give the sites that enough patients of the table have."""
    patients = table.rows.group_by("site").aggregate([("patient_id", "count_distinct")]).to_pylist()
    enough = {row["site"] for row in patients if row["patient_id_count_distinct"] >= _MIN_PATIENTS}
    return [site for site in sites if site in enough]


def _listed(sites: Sequence[str], num_untold: int) -> str:
    shown = ", ".join(map(repr, sites[:_NUM_SHOWN]))
    more = [f"{len(sites) - _NUM_SHOWN} more"] if len(sites) > _NUM_SHOWN else []
    more += [f"{num_untold} of fewer than {_MIN_PATIENTS} patients, not said here"] if num_untold else []
    return " and ".join([*([shown] if shown else []), *more])


def _rows_of(table: MetadataTable, sources: Sequence[Source] | None = None) -> Rows:
    """Group the rows of the table, or those that some sources have, by their site."""
    rows = np.arange(len(table.rows))
    if sources is not None:
        found = table.positions([source.key for source in sources])
        rows = np.unique(found[found >= 0])
    sites = pa.table({"site": table.rows["site"].take(pa.array(rows)), "row": rows})
    grouped = sites.filter(pc.is_valid(sites["site"])).group_by("site").aggregate([("row", "list"), ("row", "min")])
    ordered = grouped.sort_by("row_min").select(["site", "row_list"])
    return dict(zip(ordered["site"].to_pylist(), ordered["row_list"].to_pylist(), strict=True))
