"""What a merge leaves out, and what its corpora have refused before: a recording stands there once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hemometric.corpus.former_splits import UNSAID, FormerSplits, split_of, with_split
from hemometric.corpus.placement import ACROSS, DUPLICATE
from hemometric.corpus.reader import Corpus
from hemometric.corpus.schema import QUARANTINE_SCHEMA, REMOVED

_DETAILS = {
    DUPLICATE: "the same ECG as a recording of another corpus, which is kept",
    ACROSS: "its patient is of another split in another corpus, or linked to one who is",
}


def was_elsewhere(rows: pa.Table, corpora: Sequence[Corpus]) -> npt.NDArray[np.bool_]:
    """Find the rows whose recording another corpus had in another split, before it left that; bool [row].

    Parameters
    ----------
    rows : pyarrow.Table
        ``recording_id``, ``content`` and ``split``.
    """
    found = np.zeros(len(rows), bool)
    gone = rows.slice(0, 0)
    for corpus in corpora:
        quarantine = corpus.quarantine()
        former = FormerSplits(gone, quarantine)
        is_known = [pc.is_in(rows[name], quarantine[name].combine_chunks()) for name in ("recording_id", "content")]
        for row in np.flatnonzero(pc.or_(*is_known).to_numpy()).tolist():
            name, content, split = (rows[column][row].as_py() for column in ("recording_id", "content", "split"))
            found[row] |= former.of(name, content) not in (None, split)
    return found


def joined(corpora: Sequence[Corpus], kept: pa.Table, left_out: pa.Table) -> pa.Table:
    """Join the quarantines and what is left out now; of what a corpus still has, nothing stands there.

    Of several rows of a recording, the one stays that forbids most: it was removed, it was in a split, it comes first.

    Parameters
    ----------
    left_out : pyarrow.Table
        ``recording_id``, ``content``, ``facts``, ``split``, ``reason``, and ``elsewhere``: see `was_elsewhere`.
    """
    cells = (left_out[name].to_pylist() for name in ("reason", "split", "elsewhere"))
    details = [
        with_split(_DETAILS[reason], UNSAID if elsewhere else split)
        for reason, split, elsewhere in zip(*cells, strict=True)
    ]
    left_out = left_out.append_column("detail", pa.array(details, pa.string()))
    left_out = left_out.append_column("same_as", pa.nulls(len(left_out), pa.string()))
    tables = [left_out.select(QUARANTINE_SCHEMA.names), *(corpus.quarantine() for corpus in corpora)]
    table = pa.concat_tables([table.cast(QUARANTINE_SCHEMA) for table in tables]).combine_chunks()
    table = table.filter(pc.invert(pc.is_in(table["recording_id"], kept["recording_id"].combine_chunks())))
    cells = (table[name].to_pylist() for name in ("reason", "detail"))
    rank = [0 if reason == REMOVED else 1 if split_of(detail) else 2 for reason, detail in zip(*cells, strict=True)]
    table = table.take(pa.array(np.argsort(np.array(rank, np.int8), kind="stable")))
    _, first = np.unique(table["recording_id"].to_numpy(zero_copy_only=False).astype(str), return_index=True)
    return table.take(pa.array(first)).sort_by([(name, "ascending") for name in QUARANTINE_SCHEMA.names])
