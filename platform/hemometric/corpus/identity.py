"""Which ids mean one person: spellings that rules make alike, and ids that a link file says are the same."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
from pydantic import Field, field_validator

from hemometric.config import PLACEMENT, Added, Config
from hemometric.corpus.table_files import read_columns
from hemometric.corpus.typed_columns import ABSENT

LINK_COLUMNS = ("id", "same_as")
NOBODY = (
    *("-", "--", "---", ".", "?", "??", "???", "*", "xxx", "xxxx", "xxxxx"),
    *("unknown", "unk", "unidentified", "unspecified", "undefined", "not available", "not known", "no id"),
    *("none", "null", "nil", "n/a", "n.a.", "na", "nan", "missing", "empty", "blank"),
    *("anonymous", "anonymized", "anonymised", "anon", "deidentified", "de-identified", "redacted", "removed"),
    *("unbekannt", "anonym", "inconnu", "desconocido", "sconosciuto"),
)
"""How files and tables write that there is no id, in small letters; all of these would else be one patient."""

_SIGNS_AROUND = re.compile(r"^[\W_]+|[\W_]+$")


class IdRules(Config):
    """How an id is spelt, before it becomes a pseudonym; the same for files, tables, catheters and the link file.

    Spaces around an id, characters that nobody sees (of no width, soft hyphens, marks of direction or byte order) and
    the way its letters are encoded never matter.

    Attributes
    ----------
    remove : str
        A set of characters that mean nothing, such as ``"- ."``; each is removed wherever it stands, so that ``"PT-"``
        removes any P, T and dash, not the word. With ``case: fold`` their case does not matter either.
    case : "keep" or "fold"
        Whether ``ab1`` and ``AB1`` are two people or one. A site is never folded: see `named_sites.check_site_names`.
    leading_zeros : "keep" or "strip"
        Whether ``00123`` and ``123`` are two people or one. Zeros behind letters stay, unless `remove`, which comes
        first, takes the letters: ``mrn0015709`` becomes ``15709`` with ``remove: mrn``.
    pattern : str or None
        What the whole id must look like after that, as a regular expression; others are refused (``bad_patient_id``).
    with_site : bool
        Whether equal numbers of different sites are different people. An id is then ``site/id``: so it stands in
        the link file and in tables of measurements, and the rules are for what follows the site. A recording with an
        id and no site is refused (``bad_patient_id``): nobody can tell whose it is.
    nobody : tuple of str
        Ids that only say that there is none, such as ``unknown``, in any capitals, between any signs (``<unknown>``),
        before the rules or after them; what has no letter and no digit is none either. A recording with one has no
        patient (``missing_patient``), and a row of a table or link file says nothing of anyone.
    """

    remove: str = ""
    case: Literal["keep", "fold"] = "keep"
    leading_zeros: Literal["keep", "strip"] = "keep"
    pattern: str | None = None
    with_site: bool = False
    nobody: Annotated[tuple[str, ...], Added(NOBODY)] = NOBODY

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"pattern is no regular expression: {error}") from None
        return pattern

    def normal(self, patient_id: str | None) -> str:
        """Give the one spelling of an id; empty where there is none."""
        text = visible(patient_id)
        if not self.with_site:
            return self._spelt(text)
        site, _, own = text.partition("/")
        spelt = self._spelt(own)
        return f"{site.strip()}/{spelt}" if spelt else ""

    def is_nobody(self, own_id: str | None) -> bool:
        """Whether an id, without its site, says that there is none."""
        text = visible(own_id)
        spelt = self._spelt(text)
        bare = _bare(spelt)
        return (
            text in ABSENT
            or not bare
            or not _words(self).isdisjoint(map(str.casefold, (text, _bare(text), spelt, bare)))
        )

    def names_nobody(self, patient_id: str | None) -> bool:
        """Whether an id as a link file or a table of measurements has it says that there is none."""
        return self.is_nobody((patient_id or "").partition("/")[2] if self.with_site else patient_id)

    def fits(self, normal: str) -> bool:
        """Whether the one spelling of an id looks as it must."""
        own = normal.partition("/")[2] if self.with_site else normal
        return self.pattern is None or re.fullmatch(self.pattern, own) is not None

    def _spelt(self, text: str) -> str:
        if self.case == "fold":
            text = text.casefold()
        for character in self.remove:
            text = text.replace(character.casefold() if self.case == "fold" else character, "")
        text = text.strip()
        return (text.lstrip("0") or "0") if self.leading_zeros == "strip" and text else text


def visible(text: str | None) -> str:
    """Give text in one encoding, without what nobody sees and without spaces around it."""
    text = text or ""
    if not text.isprintable():  # nearly all ids are
        text = "".join(one for one in text if one.isspace() or unicodedata.category(one) not in ("Cf", "Cc"))
    return unicodedata.normalize("NFKC", text).strip()


def _bare(text: str) -> str:
    return _SIGNS_AROUND.sub("", text)


@cache
def _words(rules: IdRules) -> frozenset[str]:
    """Give all spellings of nobody, as written and as the rules leave them."""
    words = [visible(word) for word in rules.nobody]
    return frozenset(word.casefold() for word in (*words, *map(rules._spelt, words)) if word)  # noqa: SLF001 - its own


class Identity(Config):
    """Who is one person.

    Attributes
    ----------
    rules : IdRules
    same : Path or None
        A link file: CSV or Parquet with the columns ``id`` and ``same_as``, a row for each two ids of one person. It
        may grow: a link found later moves nobody (see `placement`). A corpus keeps each link for ever, also one that is
        taken out of the file; a corpus without it has to be made anew.
    """

    rules: IdRules = Field(default_factory=IdRules)
    same: Annotated[Path | None, PLACEMENT] = None

    def links(self) -> list[tuple[str, str]]:
        """Give pairs of ids as the link file writes them; rows that lack one, or name nobody, say nothing."""
        return [
            (first, second)
            for first, second in self.rows()
            if first and second and not (self.rules.names_nobody(first) or self.rules.names_nobody(second))
        ]

    def rows(self) -> list[tuple[str | None, str | None]]:
        """Read the link file, all of its rows.

        Raises
        ------
        UsageError
            It is missing or damaged, or lacks a column.
        """
        if self.same is None:
            return []
        table = read_columns(self.same, LINK_COLUMNS)
        columns: list[pa.Array] = [table.text(name) for name in LINK_COLUMNS]
        return list(zip(*(column.to_pylist() for column in columns), strict=True))
