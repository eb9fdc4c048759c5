"""The search of files and folders for words given in confidence; what is found is told without the words.

Found is a word as text in any case of its letters (UTF-8, Latin-1 and its kin, UTF-16, UTF-32), in hex, in base64 at
each alignment, with the escapes of JSON and of addresses; a date in its usual spellings; a number or a date as a value
of a table. Not found is what is drawn as pixels, encrypted, or packed or encoded in a way that is not named here.
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hemometric.errors import PrivacyError, UsageError
from hemometric.progress import as_clock
from hemometric.runs.pace import Display
from hemometric.runs.privacy.contents import content_of, look_into
from hemometric.runs.privacy.search import Search, Streams
from hemometric.runs.privacy.values import Values
from hemometric.runs.privacy.words import Patterns, Word, patterns_of, read_words
from hemometric.runs.words import counted

NUM_SHOWN = 20
UNSAID = "[a name that is not said]"


@dataclass
class Report:
    """What a search came to.

    Attributes
    ----------
    findings, unopened : list of str
        The first `NUM_SHOWN` of each, without any of the words.
    num_found, num_unopened : int
        Of all.
    num_bytes, num_unpacked : int
        Searched in files as they lie, and in what was packed in them.
    """

    num_words: int
    num_patterns: int
    num_files: int = 0
    num_bytes: int = 0
    num_unpacked: int = 0
    num_found: int = 0
    num_unopened: int = 0
    by_chance: float = 0.0
    findings: list[str] = field(default_factory=list)
    unopened: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """Say it, findings first."""
        lines = [*_listed(self.findings, self.num_found), *_listed(self.unopened, self.num_unopened)]
        if self.num_found and self.by_chance >= 0.01:
            lines.append(
                f"in so many bytes about {self.by_chance:.2g} would be found by chance; longer words tell more"
            )
        searched = f"{counted(self.num_files, 'file')}, {self.num_bytes} bytes and {self.num_unpacked} unpacked"
        lines.append(f"searched {searched} for {counted(self.num_words, 'word')} in {self.num_patterns} spellings")
        if not self.num_found and not self.num_unopened:
            lines.append("none was found")
        return lines

    def check(self) -> None:
        """Raise PrivacyError where a word was found, or where it cannot be known that none is there."""
        if self.num_found:
            raise PrivacyError(f"{counted(self.num_found, 'finding')} of words that must not be there; see the list")
        if self.num_unopened:
            raise PrivacyError(
                f"no word was found, but {counted(self.num_unopened, 'file')} or parts of files cannot be "
                "looked into, and nothing is proved of these; see the list"
            )


def _listed(found: list[str], num: int) -> list[str]:
    return [*found, *([f"… and {num - len(found)} more"] if num > len(found) else [])]


def scan(paths: Sequence[Path], canaries: Path) -> Report:
    """Search files and folders, and the names of both, for each word of a file.

    Links are not followed; where they lead to is searched as a name. Memory does not grow with what is searched.

    Raises
    ------
    UsageError
        A path does not exist or cannot be read; `canaries` lies within a path, or is not what `read_words` takes.
    """
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist; give a folder or a file")
        if canaries.resolve().is_relative_to(path.resolve()):
            raise UsageError(f"canaries: {canaries} lies within {path} and would be found there; move it elsewhere")
    looking = _Looking(read_words(canaries))
    total = sum(entry.num_bytes for number, path in enumerate(paths, 1) for entry in _walk(path, number, looking))
    looking.report = Report(looking.report.num_words, looking.report.num_patterns)  # names are told as they come again
    with _Shown(total) as shown:
        looking.display = shown
        for number, path in enumerate(paths, 1):
            for entry in _walk(path, number, looking):
                looking.file(entry)
    return looking.report


@dataclass(frozen=True)
class _Entry:
    path: Path
    place: str
    num_bytes: int
    is_link: bool


class _Shown:
    """Progress by bytes."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began_s = time.monotonic()
        self._display = Display("privacy scan", math.ceil(total / 1e6), self._began_s)

    def __enter__(self) -> _Shown:
        self._display.__enter__()
        return self

    def __exit__(self, *ended: Any) -> None:
        self._display.__exit__(*ended)

    def show(self, num_bytes: int) -> None:
        """Show how many bytes are done."""
        per_s = num_bytes / max(time.monotonic() - self._began_s, 1e-9)
        left_s = max(0, self._total - num_bytes) / max(per_s, 1e-9)
        facts = {"mb_per_s": round(per_s / 1e6, 1), "time_left_s": round(left_s, 1)}
        told = f"MB · {per_s / 1e6:,.0f} MB/s · {as_clock(left_s)} left"
        self._display.show(min(num_bytes, self._total) // 1_000_000, facts, told)


class _Looking:
    """Searches what `look_into` shows it, and keeps count."""

    def __init__(self, words: tuple[Word, ...]) -> None:
        patterns = patterns_of(words)
        self._streams = Streams([Search(patterns.folded, fold=True), Search(patterns.exact, fold=False)])
        self._values = Values(self._streams, words)
        self._chance = _chance(patterns)
        self.report = Report(len(words), len(patterns.folded) + len(patterns.exact))
        self.display: _Shown | None = None

    def file(self, entry: _Entry) -> None:
        """Search a file; of a link, where it leads to."""
        self.report.num_files += 1
        if entry.is_link:
            self.name(os.fsencode(entry.path.readlink()), f"the target of the link {entry.place}")
            return
        try:
            look_into(content_of(entry.path, entry.place), self)
        except OSError as error:
            self.unopened(entry.place, f"it cannot be read: {error.strerror or 'not an ordinary file'}")

    def stream(self, place: str, chunks: Iterator[bytes], *, unpacked: bool) -> None:
        """Search bytes."""
        for hit in self._streams.hits(self._counted(chunks, unpacked=unpacked)):
            self._find(hit.line, hit.how, f"{place}, byte {hit.start}")

    def values(self, place: str, array: Any, first_row: int) -> None:
        """Search values of a column."""
        self._count(array.nbytes, unpacked=True)
        for line, how, row in self._values.found(array, first_row):
            self._find(line, how, f"{place}, {f'row {row}' if row >= 0 else 'a value that no row uses'}")

    def shown(self, text: str) -> str:
        """Give a name, unless a word stands in it; with escapes for what no terminal should get."""
        if any(self._streams.hits([text.encode("utf-8", "backslashreplace")])):
            return UNSAID
        return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)

    def name(self, raw: bytes, place: str) -> bool:
        """Search a name, and say whether it holds a word."""
        before = self.report.num_found
        for hit in self._streams.hits([raw]):
            self._find(hit.line, hit.how, place)
        return self.report.num_found > before

    def unopened(self, place: str, why: str) -> None:
        """Keep what cannot be looked into."""
        self.report.num_unopened += 1
        if len(self.report.unopened) < NUM_SHOWN:
            self.report.unopened.append(f"not looked into: {place} ({why})")

    def _find(self, line: int, how: str, place: str) -> None:
        self.report.num_found += 1
        if len(self.report.findings) < NUM_SHOWN:
            self.report.findings.append(f"word of line {line} ({how}) in {place}")

    def _counted(self, chunks: Iterator[bytes], *, unpacked: bool) -> Iterator[bytes]:
        for chunk in chunks:
            self._count(len(chunk), unpacked=unpacked)
            yield chunk

    def _count(self, num_bytes: int, *, unpacked: bool) -> None:
        report = self.report
        if unpacked:
            report.num_unpacked += num_bytes
        else:
            report.num_bytes += num_bytes
        report.by_chance = self._chance * (report.num_bytes + report.num_unpacked)
        if self.display is not None:
            self.display.show(report.num_bytes)


def _chance(patterns: Patterns) -> float:
    """Say how many patterns are expected at each place of bytes that are drawn at random."""
    folded = sum(math.prod((2 if 97 <= byte <= 122 else 1) / 256 for byte in pattern) for pattern in patterns.folded)
    return folded + sum(256.0 ** -len(pattern) for pattern in patterns.exact)


def _walk(root: Path, number: int, looking: _Looking) -> Iterator[_Entry]:
    """Give all files below, folders in order of their names; a name that holds a word is told by its place in it."""
    holds = looking.name(os.fsencode(root.absolute().name), f"the name of path {number}")
    shown = looking.shown(_text(root))
    waiting = [(root, f"[path {number}]" if holds or shown == UNSAID else shown)]
    while waiting:
        path, place = waiting.pop()
        try:
            status = path.lstat() if path != root else path.stat()
        except OSError as error:
            looking.unopened(place, f"it cannot be reached: {error.strerror}")
            continue
        if not stat.S_ISDIR(status.st_mode):
            is_link = stat.S_ISLNK(status.st_mode)
            yield _Entry(path, place, 0 if is_link else status.st_size, is_link)
            continue
        try:
            names = sorted(os.listdir(path))  # noqa: PTH208 - names, of which there may be many
        except OSError as error:
            looking.unopened(place, f"it cannot be listed: {error.strerror}")
            continue
        inside = []
        for position, name in enumerate(names, 1):
            holds = looking.name(os.fsencode(name), f"the name of entry {position} of {place}")
            shown = f"[entry {position} by name]" if holds else looking.shown(_text(Path(name)))
            inside.append((path / name, f"{place}/{shown}"))
        waiting.extend(reversed(inside))


def _text(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
