"""In which split a recording was that has left the corpus: it comes back there, or not at all.

What was learnt from must never test, whatever a link, a table or a mended file says of it later. All that is out of the
corpus stands in its quarantine; there its detail ends with the split that it was in.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from hemometric.corpus.split import SPLITS
from hemometric.corpus.stamps import CHANGED

UNSAID = "the corpus"
"""Stands for the split of what left before splits were written down: such a recording stays out."""

_ENDING = re.compile(rf"; it was in ({'|'.join((*SPLITS, UNSAID))})$")
_EARLIER = {
    "its patient is linked to one of a stricter split",
    "its patient is of a stricter split in another corpus, or linked to one who is",
}
"""Details of earlier versions that do not say whether, and where, a recording was in the corpus."""


def with_split(detail: str, was_in: str | None) -> str:
    """End a detail with the split that its recording was in, if it was in one."""
    return detail if was_in is None else f"{_ENDING.sub('', detail)}; it was in {was_in}"


def split_of(detail: str) -> str | None:
    """Give the split that a detail ends with, `UNSAID` where it says too little; None for what never was in one."""
    if detail in _EARLIER:
        return UNSAID
    found = _ENDING.search(detail)
    return found and found[1]


class FormerSplits:
    """Where recordings were, found by their names and by their bytes.

    Parameters
    ----------
    gone : pyarrow.Table
        ``recording_id``, ``content`` and ``split`` of what leaves the corpus to be read anew.
    quarantine : pyarrow.Table
        Of the corpus; see `schema.QUARANTINE_SCHEMA`.
    """

    def __init__(self, gone: pa.Table, quarantine: pa.Table) -> None:
        left = [(row["recording_id"], row["content"], row["split"]) for row in _rows(gone, "split")]
        refused = [
            (row["recording_id"], row["content"], split_of(row["detail"])) for row in _rows(quarantine, "detail")
        ]
        left += [one for one in refused if one[2] is not None]
        self._of_name = {name: was_in for name, _, was_in in left}
        self._of_content = {content: was_in for _, content, was_in in left if content != CHANGED}
        for row in _rows(quarantine, "same_as"):  # the same ECG as one that was kept in its place, and has left
            if row["same_as"] in self._of_name:
                self._of_name.setdefault(row["recording_id"], self._of_name[row["same_as"]])

    def of(self, name: str, content: str) -> str | None:
        """Give the split that a recording was in, or that its bytes were in under another name; None for neither."""
        return self._of_name.get(name) or self._of_content.get(content)


def _rows(table: pa.Table, *columns: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.select(["recording_id", "content", *columns]).to_pylist()
    return rows
