"""The words that must appear nowhere, and every way in which they are looked for.

They are given in confidence: here and beyond, a word goes by its line number, and no message holds it.
"""

from __future__ import annotations

import base64
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from urllib.parse import quote

from hemometric.corpus.files import usable
from hemometric.errors import UsageError

MIN_CHARACTERS = 4
MAX_WORDS = 100_000
_MAX_BYTES = 1 << 26
_READ_AS = ("%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y")
_YEARS = range(1850, 2150)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Word:
    """One line of the file; its `repr` does not tell.

    Attributes
    ----------
    line : int
        From 1.
    dates : tuple of date
        What it says where it is a date; two where day and month may be either.
    """

    line: int
    text: str = field(repr=False)
    dates: tuple[date, ...] = field(repr=False)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Give the whole numbers that it may be stored as, and no short ones: they are found by chance."""
        spelled = [f"{day:%Y%m%d}" for day in self.dates]
        numbers = [int(text) for text in (self.text, *spelled) if text.isascii() and text.isdecimal()]
        return tuple(number for number in numbers if number >= 10 ** (MIN_CHARACTERS - 1))


def read_words(file: Path) -> tuple[Word, ...]:
    """Read one word a line; empty lines are left out.

    Raises
    ------
    UsageError
        The file cannot be read, is no UTF-8 text, holds no word, too many, or one that is too short.
    """
    with usable(file, "canaries", to="read", remedy="give a text file with one word a line"):
        if not file.is_file():
            raise UsageError(f"canaries: {file} is no file; give a text file with one word a line")
        if file.stat().st_size > _MAX_BYTES:
            raise UsageError(f"canaries: {file} is larger than {_MAX_BYTES >> 20} MB; split it")
        content = file.read_bytes()
    try:
        lines = [line.strip() for line in content.decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError:
        raise UsageError(f"canaries: {file} is not UTF-8 text; save it as such") from None
    words = [Word(number, text, _dates(text)) for number, text in enumerate(lines, 1) if text]
    if not words:
        raise UsageError(f"canaries: {file} holds no word; give one a line")
    if len(words) > MAX_WORDS:
        raise UsageError(f"canaries: {file} holds {len(words)} words, and {MAX_WORDS} are taken at once; split it")
    for word in words:
        if sum(not letter.isspace() for letter in word.text) < MIN_CHARACTERS:
            raise UsageError(
                f"canaries: the word in line {word.line} of {file} has fewer than {MIN_CHARACTERS} characters and "
                "would be found by chance; leave it out, or give more of it"
            )
    return tuple(words)


def _dates(text: str) -> tuple[date, ...]:
    found = []
    for form in _READ_AS:
        try:
            day = datetime.strptime(text, form).date()
        except ValueError:
            continue
        # Seven digits are a number, though they could be read as a date.
        if day.year in _YEARS and (form != "%Y%m%d" or len(text) == 8):
            found.append(day)
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Patterns:
    """Bytes to look for, each with its word's line and how it is written.

    Attributes
    ----------
    folded : dict
        To be found whatever the case of ASCII letters; the patterns are lower case.
    exact : dict
        To be found as they are.
    """

    folded: dict[bytes, tuple[int, str]] = field(repr=False)
    exact: dict[bytes, tuple[int, str]] = field(repr=False)


def patterns_of(words: tuple[Word, ...]) -> Patterns:
    """Spell and encode all words; of two words that give the same bytes, the first has them."""
    found = Patterns({}, {})
    for word in words:
        for text, kind in _spellings(word):
            for pattern, how in _folded(text):
                found.folded.setdefault(pattern.lower(), (word.line, kind or how))
            for variant in _cases(text):
                for pattern in _base64(variant.encode()):
                    found.exact.setdefault(pattern, (word.line, "base64"))
    return found


def _spellings(word: Word) -> Iterator[tuple[str, str]]:
    yield word.text, ""
    for day in word.dates:
        forms = ("%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d-%m-%Y")
        for text in (*(day.strftime(form) for form in forms), f"{day:%d}-{_MONTHS[day.month - 1]}-{day:%Y}"):
            if text != word.text:
                yield text, "date in another spelling"


def _cases(text: str) -> set[str]:
    """Give a text as it is, in small and in capital letters, composed and decomposed."""
    cased = {text, text.lower(), text.upper(), text.title(), text.casefold()}
    return {unicodedata.normalize(form, one) for one in cased for form in ("NFC", "NFD")}


def _folded(text: str) -> Iterator[tuple[bytes, str]]:
    for variant in _cases(text):
        raw = variant.encode()
        yield raw, "text"
        for encoding in ("latin-1", "cp1250", "cp1252"):
            try:
                yield variant.encode(encoding), "text"
            except UnicodeEncodeError:
                continue
        for encoding in ("utf-16-le", "utf-16-be"):
            yield variant.encode(encoding), "UTF-16"
        for encoding in ("utf-32-le", "utf-32-be"):  # NumPy's strings
            yield variant.encode(encoding), "UTF-32"
        yield raw.hex().encode(), "hex"
        yield json.dumps(variant)[1:-1].encode(), "JSON escapes"
        yield json.dumps(variant)[1:-1].replace("/", "\\/").encode(), "JSON escapes"
        yield quote(variant, safe="").encode(), "percent escapes"


def _base64(raw: bytes) -> Iterator[bytes]:
    """Give the characters that follow from these bytes alone, at each place that they can have in a group of three."""
    for shift in range(3):
        first, stop = -(-8 * shift // 6), 8 * (shift + len(raw)) // 6
        coded = base64.b64encode(bytes(shift) + raw)[first:stop]
        yield coded
        yield coded.translate(bytes.maketrans(b"+/", b"-_"))
