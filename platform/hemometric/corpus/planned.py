"""From what was staged to what is to be written: placement of all recordings, new shards, and shards to rewrite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hemometric.corpus.former_splits import FormerSplits, with_split
from hemometric.corpus.ingest import IngestPlan
from hemometric.corpus.ledger import Ledger, links_of, with_keyed, with_published
from hemometric.corpus.manifest import ShardEntry
from hemometric.corpus.placement import ACROSS, DUPLICATE, PLACED_COLUMNS, Placement, place
from hemometric.corpus.reader import Corpus
from hemometric.corpus.rewrites import Rewrite
from hemometric.corpus.schema import QUARANTINE_SCHEMA
from hemometric.corpus.shards import SHARDS, ShardPlan, check_rows, cut_shards, staged_rows
from hemometric.corpus.sketches import Sketches
from hemometric.corpus.split import SPLITS, Split
from hemometric.corpus.units import open_staged, read_note
from hemometric.errors import DataRejectedError

_NAMED = pa.schema([(name, pa.string()) for name in ("recording_id", "content", "facts")])
_OUT_OF_REACH = ("missing_file", "unreadable", "timed_out", "crashed")
"""Reasons that may be of the moment, as of a drive that is not there, or of a machine that has no memory left just
then: what the corpus holds of such a source stays."""

_DETAILS = {
    DUPLICATE: "the same ECG as another recording, which is kept",
    ACROSS: "its patient is in another split, or linked to one who is",
}


@dataclass(frozen=True, eq=False)
class Planned:
    """What is to be written, and what will then be there.

    Attributes
    ----------
    shards : tuple of ShardPlan
        Work for `shards.write_shard`.
    rewrites : tuple of Rewrite
        Work for `rewrites.rewrite_shard`: shards of the corpus that lose rows.
    untouched : tuple of ShardEntry
        Shards of the corpus that stay as they are.
    rows : pyarrow.Table
        ``patient``, ``split`` and ``partition`` of every recording that will be there, old and new.
    rejected : pyarrow.Table
        The whole quarantine that will be there; names here, in `links` and in the shards are those that it shows.
    links : pyarrow.Table
        See `placement.Placement`.
    left_out : frozenset of str
        Staged recordings that go nowhere, by their keyed names.
    kept_back : frozenset of str
        Recordings of the corpus whose source has changed and is out of reach, by their keyed names: they stay as they
        are.
    refused_now : dict
        From a reason to how many of what was read are refused for the first time, duplicates and the like left out.
    dropped : frozenset of str
        Recordings that leave the corpus, by the names that it shows.
    """

    shards: tuple[ShardPlan, ...]
    rewrites: tuple[Rewrite, ...]
    untouched: tuple[ShardEntry, ...]
    rows: pa.Table
    rejected: pa.Table
    links: pa.Table
    left_out: frozenset[str]
    kept_back: frozenset[str]
    refused_now: dict[str, int]
    dropped: frozenset[str]

    @property
    def num_kept_back(self) -> int:
        """How many stay as they are though their source has changed."""
        return len(self.kept_back)


def plan_shards(plan: IngestPlan) -> Planned:
    """Decide what is written, after all units were staged.

    Raises
    ------
    DataRejectedError
        More was refused than `max_rejected_fraction` allows, or everything was.
    UsageError
        Two sources have the same name.
    IntegrityError
        Given folds put a patient into two splits, or a unit was not staged.
    """
    staging = plan.context.staging
    notes = [read_note(staging, name) for name in plan.unit_names]
    refused = [tuple(item) for note in notes for item in note["rejected"]]
    refused_now = _check_rejected(plan, refused, sum(note["num_unmatched"] for note in notes))
    kept_back = {name for name, reason, *_ in refused if reason in _OUT_OF_REACH and name in plan.ledger.replaced}
    refused = [item for item in refused if item[0] not in kept_back]
    replaced = plan.ledger.replaced - kept_back
    staged = staged_rows(staging, plan.unit_names)
    check_rows(staged)
    old, gone, is_same = _old_rows(plan, replaced)
    named = _contents(plan)
    former = FormerSplits(gone, _quarantine(plan))
    pairs = zip(*(named[name].to_pylist() for name in ("recording_id", "content")), strict=True)
    asking = staged.append_column("was_in", pa.array([former.of(*pair) for pair in pairs], pa.string()))
    # Those that are replaced come last: where they were decides where their patients stay.
    wanted = [table.select(PLACED_COLUMNS.names).cast(PLACED_COLUMNS) for table in (old, asking, gone)]
    rows = pa.concat_tables(wanted).combine_chunks()
    duplicates = np.empty((0, 2), np.int64)
    if plan.context.config.find_duplicates:
        duplicates = Sketches(plan.base, is_same, staging, plan.unit_names).duplicates()
    links = pa.concat_tables([plan.links, *([] if plan.base is None else [links_of(plan.base, plan.names)])])
    placed = place(rows, duplicates, links, plan.context.config.split, plan.context.key)

    num_rows = len(old) + len(staged)
    columns = {"patient": placed.patient, "split": placed.split, "partition": placed.partition}
    where = pa.table(columns).slice(0, num_rows)
    is_kept = pc.is_null(placed.reason).slice(0, num_rows)
    mine = slice(len(old), num_rows)
    days = _shift_days(plan, staged["patient"], where["patient"][mine])
    new = staged.drop_columns(["patient", "split"]).append_column("shift_days", days)
    for name in where.column_names:
        new = new.append_column(name, where[name][mine])
    kept = new.filter(is_kept[mine])
    numbers = _next_numbers(plan.base)
    left_out = _left_out(pa.concat_tables([old.select(_NAMED.names), named]), placed)
    dropped = frozenset(left_out["recording_id"].to_pylist()) & frozenset(old["recording_id"].to_pylist())
    leaving = pa.array(sorted(dropped | replaced), pa.string())
    published = frozenset(plan.names.published(leaving).to_pylist())
    rewrites, untouched = _rewrites(plan.base, published, numbers)
    return Planned(
        shards=tuple(
            cut_shards(with_published(kept, plan.names), plan.unit_names, plan.context.config.shard_bytes, numbers)
        ),
        rewrites=rewrites,
        untouched=untouched,
        rows=where.filter(is_kept),
        rejected=with_published(_rejected(plan, refused, left_out, former), plan.names),
        links=with_published(placed.links, plan.names),
        left_out=frozenset(left_out["recording_id"].to_pylist()),
        kept_back=frozenset(kept_back),
        refused_now=refused_now,
        dropped=published,
    )


def _shift_days(plan: IngestPlan, own: pa.ChunkedArray, patient: pa.ChunkedArray) -> pa.Array:
    """Count the days by which times go on where a patient goes under another name: one patient has one shift."""
    shift = plan.context.key.date_shift
    days = np.zeros(len(own), np.int64)
    for row in np.flatnonzero(pc.not_equal(own, patient).to_numpy()):
        days[row] = (shift(patient[row].as_py()) - shift(own[row].as_py())).days
    return pa.array(days)


def num_known(ledger: Ledger, base: Corpus | None) -> int:
    """Count the recordings that a corpus will know after an ingest, accepted or refused."""
    num_before = 0 if base is None else base.manifest.counts.found
    return num_before + len(ledger.fresh) - len(ledger.replaced) - len(ledger.released)


def _check_rejected(plan: IngestPlan, refused: Sequence[tuple[str, ...]], num_unmatched: int) -> dict[str, int]:
    """Count what is refused for the first time, by reason, and compare it with all that the corpus will then know.

    So a night's few new files are judged as they would have been, had they been there from the start.
    """
    again = plan.ledger.released
    reasons = Counter(reason for name, reason, *_ in refused if name not in again)
    num_rejected, num_read, num_all = reasons.total(), plan.num_fresh - len(again), num_known(plan.ledger, plan.base)
    limit = plan.context.config.max_rejected_fraction
    is_nothing = plan.base is None and num_rejected == num_read
    if num_rejected <= limit * num_all and not is_nothing:
        return dict(reasons.most_common())
    listed = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    remedy = "mend the sources, or raise ingest.max_rejected_fraction"
    if reasons.most_common(1)[0][0] == "missing_patient":
        remedy = "give a table that names the patients, or set ingest.patients: recording_is_patient"
    if num_unmatched:
        listed += f"; {num_unmatched} have no row in the table"
    what = "no corpus was written" if plan.base is None else "nothing was added"
    of_all = "" if plan.base is None else f" of the {num_all} that the corpus would know"
    raise DataRejectedError(
        f"{num_rejected} of {num_read} recordings were refused ({listed}), and max_rejected_fraction is "
        f"{limit:g}{of_all}: {what}; {remedy}; `hemometric quarantine list {plan.context.out} --keys` says which"
    )


def _old_rows(plan: IngestPlan, replaced: frozenset[str]) -> tuple[pa.Table, pa.Table, npt.NDArray[np.bool_]]:
    """Give what `place` needs of the corpus's recordings: those that stay, those that are replaced, and which stay."""
    columns = ["recording_id", "patient", "split", "rate_hz", "num_samples", "leads", "content", "facts"]
    empty = pa.unify_schemas([PLACED_COLUMNS, _NAMED]).empty_table()
    if plan.base is None:
        return empty, empty, np.zeros(0, bool)
    table = with_keyed(plan.base.table(columns=columns), plan.names)
    table = table.append_column("num_leads", pc.list_value_length(table["leads"])).drop_columns(["leads"])
    table = table.append_column("is_old", pa.array(np.ones(len(table), dtype=bool)))
    table = table.append_column("was_in", pa.nulls(len(table), pa.string()))
    is_same = pc.invert(pc.is_in(table["recording_id"], pa.array(sorted(replaced), pa.string())))
    table = table.select(empty.schema.names).cast(empty.schema)
    return table.filter(is_same), table.filter(pc.invert(is_same)), is_same.to_numpy().astype(bool)


def _contents(plan: IngestPlan) -> pa.Table:
    staging = plan.context.staging
    tables = [open_staged(staging, name, _NAMED.names) for name in plan.unit_names]
    return pa.concat_tables([_NAMED.empty_table(), *(table.cast(_NAMED) for table in tables)])


def _left_out(contents: pa.Table, placed: Placement) -> pa.Table:
    """Give the rows of the quarantine for those that were placed nowhere."""
    columns = {"reason": placed.reason, "same_as": placed.same_as, "was_in": placed.was_in}
    for name, column in columns.items():
        contents = contents.append_column(name, column.slice(0, len(contents)))
    contents = contents.filter(pc.is_valid(contents["reason"]))
    pairs = zip(contents["reason"].to_pylist(), contents["was_in"].to_pylist(), strict=True)
    details = [with_split(_DETAILS[reason], was_in) for reason, was_in in pairs]
    return contents.append_column("detail", pa.array(details, pa.string())).select(QUARANTINE_SCHEMA.names)


def _quarantine(plan: IngestPlan) -> pa.Table:
    """Read what the corpus has refused, under keyed names."""
    return QUARANTINE_SCHEMA.empty_table() if plan.base is None else with_keyed(plan.base.quarantine(), plan.names)


def _rejected(
    plan: IngestPlan, refused: Sequence[tuple[str, ...]], left_out: pa.Table, former: FormerSplits
) -> pa.Table:
    told = [
        (name, reason, with_split(detail, former.of(name, content)), content, facts, None)
        for name, reason, detail, content, facts in refused
    ]
    columns = list(zip(*told, strict=True)) or [()] * len(QUARANTINE_SCHEMA)
    tables = [pa.table([pa.array(column, pa.string()) for column in columns], schema=QUARANTINE_SCHEMA)]
    tables.append(left_out.cast(QUARANTINE_SCHEMA))
    before = _quarantine(plan)
    released = pa.array(sorted(plan.ledger.released), pa.string())
    tables.append(_following(before.filter(pc.invert(pc.is_in(before["recording_id"], released))), left_out))
    return pa.concat_tables(tables).sort_by([(name, "ascending") for name in QUARANTINE_SCHEMA.names])


def _following(quarantine: pa.Table, left_out: pa.Table) -> pa.Table:
    """Let duplicates follow a recording that leaves for its split: nothing is kept any more that they would double."""
    across = left_out.filter(pc.equal(left_out["reason"], ACROSS))
    told = dict(zip(across["recording_id"].to_pylist(), across["detail"].to_pylist(), strict=True))
    rows = [
        {**row, "reason": ACROSS, "detail": told[row["same_as"]], "same_as": None} if row["same_as"] in told else row
        for row in (quarantine.to_pylist() if told else ())
    ]
    return pa.Table.from_pylist(rows, schema=quarantine.schema) if told else quarantine


def _next_numbers(base: Corpus | None) -> dict[Split, int]:
    """Give the number of the next new shard of each split: no name is used twice."""
    numbers: dict[Split, int] = dict.fromkeys(SPLITS, 0)
    for shard in () if base is None else base.manifest.shards:
        numbers[shard.split] = max(numbers[shard.split], shard.number + 1)
    return numbers


def _rewrites(
    base: Corpus | None, dropped: frozenset[str], numbers: dict[Split, int]
) -> tuple[tuple[Rewrite, ...], tuple[ShardEntry, ...]]:
    """Find the shards that lose rows, and number their successors; `numbers` goes on behind them."""
    rewrites, untouched = [], []
    for shard in () if base is None else base.manifest.shards:
        lost: list[str] = []
        if dropped and base is not None:
            ids = base.shard_table(shard, ["recording_id"])["recording_id"].to_pylist()
            lost = sorted(dropped.intersection(ids))
        if not lost:
            untouched.append(shard)
        elif len(lost) < shard.num_rows:
            rewrites.append(
                Rewrite(shard, f"{SHARDS}/{shard.split}/part-{numbers[shard.split]:05d}.parquet", tuple(lost))
            )
            numbers[shard.split] += 1
    return tuple(rewrites), tuple(untouched)
