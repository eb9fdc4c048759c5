"""Sites that a split names and no ECG has: a typo there would send a test hospital into training."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import pyarrow.compute as pc

from hemometric.corpus.metadata import MetadataTable
from hemometric.corpus.split import SiteSplit
from hemometric.errors import UsageError
from hemometric.vendors import Source

_NUM_SHOWN = 10


def check_sites(split: SiteSplit, table: MetadataTable, sources: Sequence[Source]) -> None:
    """Refuse a split that names what no ECG has; a corpus's config cannot be changed afterwards.

    Raises
    ------
    UsageError
        It names the sites that there are.
    """
    rows = table.take(table.positions([source.key for source in sources]))
    sites = sorted(pc.unique(rows["site"]).drop_null().to_pylist())
    absent = split.absent(sites)
    if not absent:
        return
    if not sites:
        raise UsageError("ingest.split: no ECG has a site; name its column as ingest.table.site, or use another kind")
    close = [difflib.get_close_matches(site, sites, n=1) for site in absent]
    meant = ", ".join(dict.fromkeys(repr(found[0]) for found in close if found))
    hint = f"did you mean {meant}? The" if meant else "the"
    raise UsageError(
        f"ingest.split: no ECG is of site {', '.join(map(repr, absent))}; {hint} sites here are {_listed(sites)}; "
        "list those that come later in ingest.split.not_yet"
    )


def _listed(sites: Sequence[str]) -> str:
    shown = ", ".join(map(repr, sites[:_NUM_SHOWN]))
    return shown if len(sites) <= _NUM_SHOWN else f"{shown} and {len(sites) - _NUM_SHOWN} more"
