"""What of a corpus leaves it in an export: which recordings, and which columns beside the signal."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import field_validator

from hemometric.config import Added, Config
from hemometric.corpus import Corpus, ShardEntry, Split
from hemometric.corpus.labels import LABEL_PREFIX
from hemometric.corpus.reader import open_parquet
from hemometric.errors import UsageError
from hemometric.waveform.flags import FLAGS, OF_A_LEAD

ALWAYS = ("recording_id", "patient", "split")
SCALE = ("rate_hz", "num_samples", "leads", "gain_per_mv", "offset_counts")
"""Without these, native counts mean nothing."""
_INTERNAL = {"partition", "quantisation_error_mv"}
_PLAIN_TEXT = {"sex", "flags"}  # a few words of our own


class Selection(Config):
    """Which recordings and columns.

    Attributes
    ----------
    splits : tuple or None
        None takes all.
    has_label : tuple of str
        Only recordings for which all of these labels are known.
    without_flag : tuple of str
        Only recordings with none of these quality flags; see `waveform.flags`.
    columns : tuple of str or None
        What goes along beside ids, split and signal. None takes numbers, sex and flags: times and texts of the archive
        (``acquired``, ``site``, code labels) leave a corpus only when they are named. A label may be named bare.
    add_columns : tuple of str
        What goes along beside those.
    """

    splits: tuple[Split, ...] | None = None
    has_label: tuple[str, ...] = ()
    without_flag: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    add_columns: Annotated[tuple[str, ...], Added(())] = ()

    @field_validator("without_flag")
    @classmethod
    def _flags_are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in names if name not in FLAGS]:
            close = difflib.get_close_matches(unknown[0].casefold(), FLAGS, n=1)
            plain = [flag for flag in FLAGS if ":" not in flag]
            of_leads = [f"{flag}:{{lead}}" for flag in OF_A_LEAD]
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join([*plain, *of_leads])}"
            raise ValueError(f"there is no flag {unknown[0]!r}; {hint}")
        return names


def chosen_columns(corpus: Corpus, selection: Selection, *, native: bool) -> tuple[str, ...]:
    """Give the columns beside the signal, those that are always there first.

    Raises
    ------
    UsageError
        The corpus has no such column.
    """
    always = (*ALWAYS, *(SCALE if native else ()))
    if selection.columns is None:
        named = [field.name for field in corpus.schema if _goes_unasked(field)]
        named = [name for name in named if native or name not in SCALE]
    else:
        named = [full_name(corpus, name) for name in selection.columns]
    added = [full_name(corpus, name) for name in selection.add_columns]
    return tuple(dict.fromkeys((*always, *named, *added)))


def offered_columns(corpus: Corpus) -> tuple[str, ...]:
    """Name the columns that may go along: bytes that only a corpus understands stay."""
    return tuple(name for name in corpus.columns if not pa.types.is_binary(corpus.schema.field(name).type))


def full_name(corpus: Corpus, name: str) -> str:
    """Give a column's name; a label may be named without its prefix.

    Raises
    ------
    UsageError
        The corpus has no such column.
    """
    known = offered_columns(corpus)
    for full in (name, LABEL_PREFIX + name):
        if full in known:
            return full
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known)}"
    raise UsageError(f"columns: corpus {corpus.path} has no column {name!r}; {hint}")


def _goes_unasked(field: pa.Field) -> bool:
    """Whether a column can hold no word or date of the archive's own."""
    kind = field.type.value_type if pa.types.is_list(field.type) else field.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return (is_number or field.name in _PLAIN_TEXT) and field.name not in _INTERNAL


def wanted_labels(corpus: Corpus, selection: Selection) -> tuple[str, ...]:
    """Give the columns of the labels that a recording must have.

    Raises
    ------
    UsageError
        The corpus has no such label.
    """
    for name in selection.has_label:
        if corpus.manifest.label(name.removeprefix(LABEL_PREFIX)) is None:
            known = ", ".join(label.name for label in corpus.manifest.labels) or "none at all"
            raise UsageError(f"has_label: corpus {corpus.path} has no label {name!r}; it has {known}")
    return tuple(LABEL_PREFIX + name.removeprefix(LABEL_PREFIX) for name in selection.has_label)


def count_selected(corpus: Corpus, shard: ShardEntry, selection: Selection) -> int:
    """Count the recordings of a shard that are taken; signals are not read.

    Raises
    ------
    IntegrityError
        The shard is missing or damaged.
    """
    asked = _asked(corpus, selection)
    return int(_mask(corpus.shard_table(shard, asked), corpus, selection).sum()) if asked else shard.num_rows


def selected_groups(corpus: Corpus, shard: ShardEntry, selection: Selection) -> Iterator[pa.Table]:
    """Read the recordings of a shard that are taken, all columns, a row group in memory at a time.

    Raises
    ------
    IntegrityError
        The shard is missing or damaged.
    """
    asked = _asked(corpus, selection)
    with open_parquet(corpus.path, shard, corpus.schema) as file:
        for group in range(file.num_row_groups):
            if not asked:
                yield file.read_row_group(group)
                continue
            is_taken = _mask(file.read_row_group(group, columns=list(asked)), corpus, selection)
            if is_taken.any():  # else its signals are not even read
                yield file.read_row_group(group).filter(pa.array(is_taken))


def _asked(corpus: Corpus, selection: Selection) -> tuple[str, ...]:
    return (*wanted_labels(corpus, selection), *(("flags",) if selection.without_flag else ()))


def _mask(table: pa.Table, corpus: Corpus, selection: Selection) -> npt.NDArray[np.bool_]:
    taken = np.ones(len(table), dtype=bool)
    for column in wanted_labels(corpus, selection):
        taken &= pc.is_valid(table[column]).to_numpy()
    if selection.without_flag:
        unwanted = set(selection.without_flag)
        taken &= np.array([unwanted.isdisjoint(flags) for flags in table["flags"].to_pylist()], dtype=bool)
    return taken


def left_behind(corpus: Corpus, columns: Sequence[str]) -> list[str]:
    """Name the columns of a corpus that do not go along, but for those that say nothing of a recording."""
    silent = {"content", "facts", "partition"}
    return [name for name in offered_columns(corpus) if name not in columns and name not in silent]
