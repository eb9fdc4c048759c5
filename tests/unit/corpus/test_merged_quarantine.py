"""Of what several corpora refused, the row stays that forbids most."""

from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from hemometric.corpus.merged_quarantine import joined, was_elsewhere
from hemometric.corpus.schema import QUARANTINE_SCHEMA, REMOVED


def corpus(*rows: tuple[str, str, str]) -> Any:
    """A corpus that refused recordings for a reason, with a detail; each has content of its own."""
    full = [(name, reason, detail, f"bytes of {name}", "", None) for name, reason, detail in rows]
    table = pa.Table.from_pylist(
        [dict(zip(QUARANTINE_SCHEMA.names, row, strict=True)) for row in full], QUARANTINE_SCHEMA
    )
    return SimpleNamespace(quarantine=lambda: table)


def held(*rows: tuple[str, str, str]) -> pa.Table:
    return pa.Table.from_pylist(
        [{"recording_id": name, "content": content, "split": split} for name, content, split in rows]
    )


def test_what_was_removed_or_in_a_split_is_not_forgotten() -> None:
    one = corpus(("a", "truncated", "cut"), ("b", "truncated", "cut"), ("c", "flat", "flat"))
    two = corpus(("a", REMOVED, "taken out on request"), ("b", "flat", "flat; it was in train"), ("d", "flat", "flat"))
    names = ("recording_id", "content", "facts", "split", "reason")
    nothing = pa.table({name: pa.array([], pa.string()) for name in names} | {"elsewhere": pa.array([], pa.bool_())})
    for corpora in ((one, two), (two, one)):
        table = joined(corpora, pa.table({"recording_id": pa.array(["d"])}), nothing)
        rows = [(row["recording_id"], row["reason"], row["detail"]) for row in table.to_pylist()]
        assert rows == [
            ("a", REMOVED, "taken out on request"), ("b", "flat", "flat; it was in train"), ("c", "flat", "flat"),
        ]  # fmt: skip


def test_what_another_corpus_had_elsewhere_is_found_by_name_and_by_bytes() -> None:
    one = corpus(("a", "flat", "flat; it was in train"), ("b", "flat", "flat; it was in test"), ("c", "flat", "flat"))
    rows = held(
        ("a", "new", "test"), ("a", "new", "train"), ("b", "new", "test"), ("c", "new", "test"),
        ("x", "bytes of a", "test"), ("x", "bytes of b", "test"), ("x", "new", "test"),
    )  # fmt: skip
    assert was_elsewhere(rows, [one]).tolist() == [True, False, False, False, True, False, False]
    assert was_elsewhere(rows, [one, one]).sum() == 2
