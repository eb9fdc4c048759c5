"""Ingest: vendor files into a corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

from hemometric.config import PLACEMENT, SECRET
from hemometric.corpus import open_corpus
from hemometric.corpus.commit import commit
from hemometric.corpus.ingest import IngestPlan, ingest_lock, prepare_ingest
from hemometric.corpus.ingest_config import IngestConfig
from hemometric.corpus.link_file import count_rows
from hemometric.corpus.planned import Planned, plan_shards
from hemometric.corpus.pseudonyms import Key, load_or_create_key
from hemometric.corpus.rewrites import rewrite_shard
from hemometric.corpus.shards import write_shard
from hemometric.corpus.source_table import keep_sources
from hemometric.corpus.units import stage_unit
from hemometric.errors import UsageError
from hemometric.runs.base import Workers
from hemometric.runs.ingest_summary import link_lines, listed, summary
from hemometric.runs.pace import Pace
from hemometric.runs.site_counts import site_lines
from hemometric.runs.words import counted
from hemometric.vendors.folders import num_linked_folders
from hemometric.vendors.scratch import remove_orphans
from hemometric.vendors.stores import checked_url, is_url

T = TypeVar("T")
R = TypeVar("R")
Map = Callable[[Callable[[Any, Any], Any], Any, Sequence[Any]], Iterator[Any]]
"""``map(function, context, items)``: the function of each item, in the items' order, wherever it runs."""


def _as_source(value: Any) -> Path | str:
    """Tell addresses of stores from paths; an address that may hold a secret is refused, and not repeated."""
    if not isinstance(value, (str, Path)):
        raise PydanticCustomError("path", "input should be a path or an address")
    if not is_url(value):
        return Path(value)
    try:
        return checked_url(str(value))
    except ValueError as error:
        raise PydanticCustomError(SECRET, "{told}", {"told": str(error)}) from None


SourceField = Annotated[Path | str, PlainValidator(_as_source)]


class IngestRun(Workers):
    """One ingest.

    Attributes
    ----------
    sources : tuple of Path
        Folders, files or archives of ECGs; or addresses that fsspec reads, such as ``s3://bucket/folder``.
    out : Path
        Folder of the corpus.
    key : Path or None
        Key file of the pseudonyms; None takes the one of the user's config folder, and makes it when it is not there.
    retry_quarantine : bool
        Read again, too, what the corpus refused before.
    ingest : IngestConfig
        What is computed.
    """

    job: Literal["ingest"] = "ingest"
    sources: Annotated[tuple[SourceField, ...], PLACEMENT] = Field(min_length=1)
    out: Annotated[Path, PLACEMENT]
    key: Annotated[Path | None, PLACEMENT] = None
    retry_quarantine: Annotated[bool, PLACEMENT] = False
    ingest: IngestConfig = IngestConfig()


def run(config: IngestRun) -> list[str]:
    """Ingest in this process, without Ray; the same inputs twice are a no-op."""

    def plain(function: Callable[[Any, T], R], context: Any, items: Sequence[T]) -> Iterator[R]:
        return (function(context, item) for item in items)

    return ingest(config, lambda _: nullcontext(plain))


def ingest(config: IngestRun, open_map: Callable[[IngestPlan], AbstractContextManager[Map]]) -> list[str]:
    """Run every step of an ingest; `open_map` gives, for a plan, a context manager around a `Map`."""
    key = load_or_create_key(config.key)
    remove_orphans()
    lines = [f"pseudonym key made: {key.path}; keep it, and keep it secret"] if key.created else []
    with ingest_lock(config.out):
        plan = prepare_ingest(config.ingest, config.sources, config.out, key, retry_quarantine=config.retry_quarantine)
        lines += [*not_followed(config.sources), *_keep_sources(config, key, plan)]
        if plan.finished is not None:
            lines.append(f"{config.out} holds these recordings already; nothing to do")
            return [*lines, *summary(plan.finished), *_links(plan)]
        with open_map(plan) as mapped:
            _stage(plan, mapped)
            planned = plan_shards(plan)
            entries = list(mapped(write_shard, plan.context, planned.shards))
            if planned.num_kept_back:
                held = counted(planned.num_kept_back, "recording")
                lines.append(f"{held} whose source is out of reach stay as they are")
            lines += _refused_now(plan, planned)
            entries += mapped(rewrite_shard, plan.context, planned.rewrites)
        manifest = commit(plan, planned, entries)
    sites = site_lines(open_corpus(config.out))
    return [*lines, *summary(manifest), *sites, *_links(plan), f"corpus: {config.out}"]


def _refused_now(plan: IngestPlan, planned: Planned) -> list[str]:
    """Warn of an addition of which more was refused than a corpus may begin with, however little it is of the whole."""
    num, num_read = sum(planned.refused_now.values()), plan.num_fresh - len(plan.ledger.released)
    if plan.base is None or num <= plan.context.config.max_rejected_fraction * num_read:
        return []
    return [f"careful: {num} of {counted(num_read, 'recording')} read now were refused: {listed(planned.refused_now)}"]


def not_followed(sources: Sequence[Path | str]) -> list[str]:
    """Warn of links to folders: what lies behind them is not searched, and their names may be those of patients."""
    num = num_linked_folders([source for source in sources if isinstance(source, Path)])
    remedy = "give what a link leads to as a source of its own, if ECGs lie there"
    return [f"careful: {counted(num, 'linked folder')} below the sources not searched; {remedy}"] if num else []


def _keep_sources(config: IngestRun, key: Key, plan: IngestPlan) -> list[str]:
    """Keep where recordings come from before any is read, so that keys of an ingest that is killed can be located."""
    try:
        keep_sources(key, config.out, config.sources, plan.sources)
    except UsageError as error:  # such as a key on a volume that is read only: its corpora are as good
        return [f"careful: `hemometric quarantine locate` will not know these recordings: {error}"]
    return []


def _links(plan: IngestPlan) -> list[str]:
    """Say what the rows of the link file came to."""
    identity, key = plan.context.config.identity, plan.context.key
    if identity.same is None:
        return []
    return link_lines(count_rows(identity, key, open_corpus(plan.context.out), plan.names))


def _stage(plan: IngestPlan, mapped: Map) -> None:
    with Pace("ingest", plan.num_fresh) as pace:
        for staged in mapped(stage_unit, plan.context, plan.units):
            pace.add(staged.num_sources)
