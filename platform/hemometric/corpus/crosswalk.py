"""Which names a corpus shows: the keyed ones, or random codes where a site's rules forbid codes derived from ids.

Within an ingest everyone goes by keyed names; what is written into the corpus passes through `published`, what is read
from it through `keyed`.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from hemometric.corpus.pseudonyms import Key
from hemometric.errors import IntegrityError, PrivacyError, UsageError

_CODE_BYTES = 16


class Names(Protocol):
    """How names appear in a corpus."""

    @property
    def id(self) -> str:
        """What a manifest calls the file of codes; empty where there is none."""
        ...

    def published(self, names: pa.Array) -> pa.Array:
        """Give what a corpus shows for keyed names."""
        ...

    def keyed(self, names: pa.Array) -> pa.Array:
        """Give the keyed names of what a corpus shows."""
        ...


class KeyedNames:
    """A corpus shows the keyed names themselves."""

    id = ""

    def published(self, names: pa.Array) -> pa.Array:
        """Give them as they are."""
        return names

    def keyed(self, names: pa.Array) -> pa.Array:
        """Give them as they are."""
        return names


@dataclass(frozen=True)
class Crosswalk:
    """Random codes, kept in an SQLite file that only its owner reads; who lacks it cannot go back, even with the key.

    Attributes
    ----------
    path : Path
        Beside the key file, for all corpora of that key: a patient has the same code in each.
    """

    path: Path

    @property
    def id(self) -> str:
        """Twelve random hex digits of this file: two corpora of other files cannot be told to hold the same people."""
        with self._open() as database, database:
            database.execute("CREATE TABLE IF NOT EXISTS crosswalk (id TEXT PRIMARY KEY)")
            found = database.execute("SELECT id FROM crosswalk").fetchone()
            if found is None:
                found = (os.urandom(6).hex(),)
                database.execute("INSERT INTO crosswalk VALUES (?)", found)
        return str(found[0])

    def published(self, names: pa.Array) -> pa.Array:
        """Give each name's code; a name that has none gets one, and keeps it."""
        with self._open() as database:
            rows = self._known(database, names, "keyed", "code")
            wanted = dict.fromkeys(name for name in names.to_pylist() if name not in rows)
            fresh = {name: os.urandom(_CODE_BYTES).hex() for name in wanted}
            with database:
                database.executemany("INSERT INTO codes VALUES (?, ?)", fresh.items())
            rows |= fresh
        return pa.array([rows[name] for name in names.to_pylist()], pa.string())

    def keyed(self, names: pa.Array) -> pa.Array:
        """Give the names of codes.

        Raises
        ------
        IntegrityError
            The file lacks a code: it is not the one that the corpus was made with.
        """
        with self._open() as database:
            rows = self._known(database, names, "code", "keyed")
        missing = sum(name not in rows for name in names.to_pylist())
        if missing:
            raise IntegrityError(f"{self.path} lacks {missing} codes of the corpus; restore the file that made it")
        return pa.array([rows[name] for name in names.to_pylist()], pa.string())

    @staticmethod
    def _known(database: sqlite3.Connection, names: pa.Array, given: str, wanted: str) -> dict[str, str]:
        database.execute("CREATE TEMP TABLE IF NOT EXISTS asked (name TEXT PRIMARY KEY) WITHOUT ROWID")
        database.execute("DELETE FROM asked")
        database.executemany("INSERT OR IGNORE INTO asked VALUES (?)", ((name,) for name in names.to_pylist()))
        query = f"SELECT {given}, {wanted} FROM codes JOIN asked ON codes.{given} = asked.name"  # noqa: S608 - our names
        return dict(database.execute(query).fetchall())

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
            if self.path.stat().st_mode & (stat.S_IRWXO | stat.S_IRWXG):
                raise PrivacyError(f"crosswalk {self.path} can be read by others; run `chmod 600 {self.path}` first")
            with closing(sqlite3.connect(self.path)) as database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS codes (keyed TEXT PRIMARY KEY, code TEXT NOT NULL UNIQUE) WITHOUT ROWID"
                )
                yield database
        except OSError as error:
            raise UsageError(f"crosswalk {self.path} cannot be used: {error.strerror}") from None
        except sqlite3.Error:
            raise IntegrityError(f"crosswalk {self.path} is damaged or in use; restore it or run again") from None


def crosswalk_of(key: Key) -> Crosswalk:
    """Say where a key's random codes lie.

    Raises
    ------
    UsageError
        The key lies in no file.
    """
    if key.path is None:
        raise UsageError("random pseudonyms are kept beside the key file; give a key that lies in one")
    return Crosswalk(key.path.with_name(f"{key.path.name}.crosswalk"))
