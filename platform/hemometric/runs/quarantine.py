"""What an ingest has refused, and which file a key stands for."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from hemometric.corpus import default_key_path, open_corpus
from hemometric.corpus.manifest import SUCCESS
from hemometric.corpus.source_table import Located, locate, locate_all, table_name
from hemometric.corpus.units import STAGING, read_note
from hemometric.errors import UsageError
from hemometric.runs.words import counted

_HEX = re.compile(r"[0-9a-f]{1,32}")
_NUM_SHOWN = 3


def list_quarantine(path: Path, *, reason: str | None = None, keys: bool = False) -> list[str]:
    """Count what was refused, by reason; with `keys`, add a line for each recording.

    Where an ingest ended early, refused too much for instance, what that has read so far is among it.

    Raises
    ------
    UsageError
        There is neither a corpus nor a begun one, or nothing was refused for that reason.
    IntegrityError
        The corpus is damaged.
    """
    rows = _refused(path, reason)
    lines = [] if _is_finished(path) else [f"{path} is not finished; this is what was read so far"]
    if not lines and (num_staged := len({key for key, *_ in _of_staging(path / STAGING)})):
        lines = [f"an addition to {path} is not finished; {num_staged} of these it has refused so far"]
    lines.append(f"{counted(len(rows), 'recording')} refused")
    lines += [f"{name} {count}" for name, count in sorted(Counter(found for _, found, _ in rows).items())]
    if keys:
        lines += [f"{key}  {found}: {detail}" for key, found, detail in rows]
    elif rows:
        lines.append("--keys lists them; `hemometric quarantine locate KEY` says which file a key stands for")
    return lines


def _is_finished(path: Path) -> bool:
    return (path / SUCCESS).is_file()


def _refused(path: Path, reason: str | None) -> list[tuple[str, str, str]]:
    """Give key, reason and detail of what was refused for a reason, or for any; sorted by key."""
    found: dict[str, tuple[str, str, str]] = {}
    if _is_finished(path) or not (path / STAGING).is_dir():
        found |= {row[0]: row for row in _of_corpus(path)}
    found |= {row[0]: row for row in _of_staging(path / STAGING)}  # later than what the corpus says of it
    rows = [found[key] for key in sorted(found)]
    known = sorted({found for _, found, _ in rows})
    if reason is not None and reason not in known:
        close = difflib.get_close_matches(reason, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"reasons here: {', '.join(known) or 'none'}"
        raise UsageError(f"reason: nothing was refused for {reason!r}; {hint}")
    return [row for row in rows if reason in (None, row[1])]


def _of_corpus(path: Path) -> Iterator[tuple[str, str, str]]:
    table = open_corpus(path).quarantine()
    columns = (table[name].to_pylist() for name in ("recording_id", "reason", "detail", "same_as"))
    for key, reason, detail, same_as in zip(*columns, strict=True):
        yield key, reason, detail if same_as is None else f"{detail}: {same_as}"


def _of_staging(staging: Path) -> Iterator[tuple[str, str, str]]:
    for note in staging.glob("unit-*.json"):
        for key, reason, detail, *_ in read_note(staging, note.stem)["rejected"]:
            yield key, reason, detail


def locate_sources(
    keys: Sequence[str], *, reason: str | None = None, corpus: Path | None = None, key_file: Path | None = None
) -> list[str]:
    """Say of each key, or unique beginning of one, its source: path or address, item and format, separated by tabs.

    With `reason`, so of all that `corpus` refused for it; it may also be one whose ingest ended early.

    The table of `corpus` goes first. Of what it lacks the tables of all corpora of the key are searched: a merged
    corpus that was added to later has a table of its own, which says only what was added.

    Raises
    ------
    UsageError
        A key is none, is not known, or several begin so; the key file or the table is not there; there is no key and
        no reason, or nothing was refused for it.
    PrivacyError
        Others may read the table or its folder.
    IntegrityError
        A table is damaged.
    """
    if reason is not None and corpus is None:
        raise UsageError("--reason asks for what a corpus has refused; say which one with --corpus")
    if not keys and reason is None:
        raise UsageError("give keys of recordings, or --reason with --corpus")
    place = key_file or default_key_path()
    if not place.is_file():
        raise UsageError(f"key file {place} does not exist; give the one of the ingest with --key")
    name = None
    if corpus is not None:
        name = table_name(corpus)
        if name is None:
            raise UsageError(f"corpus {corpus} names no table of sources; leave --corpus out to search all of the key")
    lines = [line for key in keys for line in _lines(key, _found(place, _checked(key), name))]
    if corpus is not None and reason is not None:
        lines += _lines_of_all([key for key, *_ in _refused(corpus, reason)], place, name)
    return lines


def _lines_of_all(keys: Sequence[str], place: Path, name: str | None) -> list[str]:
    """Say the sources of whole keys; those that nobody knows are counted."""
    found = locate_all(place, keys, name)
    lacking = [key for key, sources in found.items() if not sources]
    if lacking and name is not None:
        found |= locate_all(place, lacking)
    lines = [line for key, sources in found.items() if sources for line in _lines(key, sources)]
    num_unknown = sum(not sources for sources in found.values())
    if not lines:
        raise UsageError(f"no source of these {num_unknown} is known; see that --key is the one of their ingest")
    return [*lines, *([f"careful: of {num_unknown} more no source is known"] if num_unknown else [])]


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
