"""What an ingest has refused, and which file a key stands for."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hemometric.corpus import default_key_path, open_corpus
from hemometric.corpus.manifest import SUCCESS
from hemometric.corpus.source_table import Located, locate, table_name
from hemometric.corpus.units import STAGING, read_note
from hemometric.errors import UsageError
from hemometric.runs.words import counted

_HEX = re.compile(r"[0-9a-f]{1,32}")
_NUM_SHOWN = 3


def list_quarantine(path: Path, *, reason: str | None = None, keys: bool = False) -> list[str]:
    """Count what was refused, by reason; with `keys`, add a line for each recording.

    Where an ingest ended early, refused too much for instance, it is what that has read so far.

    Raises
    ------
    UsageError
        There is neither a corpus nor a begun one, or nothing was refused for that reason.
    IntegrityError
        The corpus is damaged.
    """
    is_finished = (path / SUCCESS).is_file()
    rows = sorted(_of_corpus(path) if is_finished or not (path / STAGING).is_dir() else _of_staging(path / STAGING))
    counts: dict[str, int] = {}
    for _, found, _ in rows:
        counts[found] = counts.get(found, 0) + 1
    if reason is not None and reason not in counts:
        close = difflib.get_close_matches(reason, counts, n=1)
        known = f"did you mean {close[0]!r}?" if close else f"reasons here: {', '.join(sorted(counts)) or 'none'}"
        raise UsageError(f"reason: nothing was refused for {reason!r}; {known}")
    chosen = {name: count for name, count in sorted(counts.items()) if reason in (None, name)}
    lines = [] if is_finished else [f"{path} is not finished; this is what was read so far"]
    lines.append(f"{counted(sum(chosen.values()), 'recording')} refused")
    lines += [f"{name} {count}" for name, count in chosen.items()]
    if keys:
        lines += [f"{key}  {found}: {detail}" for key, found, detail in rows if found in chosen]
    elif chosen:
        lines.append("--keys lists them; `hemometric quarantine locate KEY` says which file a key stands for")
    return lines


def _of_corpus(path: Path) -> Iterator[tuple[str, str, str]]:
    table = open_corpus(path).quarantine()
    columns = (table[name].to_pylist() for name in ("recording_id", "reason", "detail"))
    return zip(*columns, strict=True)


def _of_staging(staging: Path) -> Iterator[tuple[str, str, str]]:
    for note in staging.glob("unit-*.json"):
        for key, reason, detail, *_ in read_note(staging, note.stem)["rejected"]:
            yield key, reason, detail


def locate_sources(keys: Sequence[str], *, corpus: Path | None = None, key_file: Path | None = None) -> list[str]:
    """Say of each key, or unique beginning of one, its source: path or address, item and format, separated by tabs.

    The table of `corpus` goes first. Of what it lacks the tables of all corpora of the key are searched: a merged
    corpus that was added to later has a table of its own, which says only what was added.

    Raises
    ------
    UsageError
        A key is none, is not known, or several begin so; the key file or the table is not there.
    PrivacyError
        Others may read the table or its folder.
    IntegrityError
        A table is damaged.
    """
    place = key_file or default_key_path()
    if not place.is_file():
        raise UsageError(f"key file {place} does not exist; give the one of the ingest with --key")
    name = None
    if corpus is not None:
        name = table_name(corpus)
        if name is None:
            raise UsageError(f"corpus {corpus} names no table of sources; leave --corpus out to search all of the key")
    return [line for key in keys for line in _lines(key, _found(place, _checked(key), name))]


def _found(place: Path, key: str, name: str | None) -> list[Located]:
    found = locate(place, key, name)
    return found or (locate(place, key) if name is not None else found)


def _checked(key: str) -> str:
    if not _HEX.fullmatch(key.lower()):
        raise UsageError(f"{key!r} is no key of a recording: up to 32 digits 0-9 and a-f; `quarantine list` shows some")
    return key.lower()


def _lines(key: str, found: list[Located]) -> list[str]:
    ids = sorted({one.recording_id for one in found})
    if not ids:
        raise UsageError(f"no source of {key!r} is known; see that --key and --corpus are those of its ingest")
    if len(ids) > 1:
        shown = ", ".join(ids[:_NUM_SHOWN])
        raise UsageError(f"{len(ids)} recordings begin with {key!r}, such as {shown}; give more of the one you mean")
    return ["\t".join((key, _printable(one.where), one.item or "-", one.format)) for one in found]


def _printable(where: str) -> str:
    """Write a place with escapes for what no terminal should get; the bytes of names need not be UTF-8."""
    text = os.fsencode(where).decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
