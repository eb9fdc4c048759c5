"""Stores of files that fsspec reads: S3, Google Cloud, Azure, web servers that list their folders, and others."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemometric.errors import HemometricError
from hemometric.vendors.archive_members import ArchivesConfig, Member, is_hidden, plain_name
from hemometric.vendors.source import MAX_FILE_BYTES, Piece, Refusal, stem_of
from hemometric.vendors.stores import has_query, named_errors, refusal_of

_BATCH_FILES, _BATCH_BYTES = 64, 64 << 20
_TRIES, _WAIT_S = 3, 1.0
_AT_ONCE = 16  # requests to a web server; what a store of objects takes, its library knows
_MAX_DEPTH = 16
_UNKNOWN = -1
ITSELF = 1
"""`Piece.at` of the one file that an address names."""

_TIMES = (
    "ETag", "etag", "md5", "content_md5", "Content-MD5", "LastModified", "last_modified", "Last-Modified", "updated",
    "mtime", "created",
)  # fmt: skip


@dataclass(frozen=True)
class Remote:
    """A store, or what lies below one of its names, as a `places.Place`."""

    address: str

    heads_are_cheap = False

    def members(self, bounds: ArchivesConfig) -> list[Member]:
        """List the files below; hidden ones are left out.

        Raises
        ------
        UsageError
            The address does not exist, may not be read, or fsspec lacks the library for it.
        PrecheckError
            The store cannot be reached.
        """
        with named_errors(self.address):
            store, root = self._open()
            details = self._details(store, root)
        return self._judged(root, details, bounds)

    def beside(self, name: str, bounds: ArchivesConfig) -> list[Member]:
        """List the files that lie here, not below, and share the stem of `name`; see `members`."""
        stem = stem_of(name)
        with named_errors(self.address):
            store, root = self._open()
            details = {path: detail for detail in store.ls(root, detail=True) if (path := detail["name"].rstrip("/"))}
            near = {path: detail for path, detail in details.items() if stem_of(path.rpartition("/")[2]) == stem}
            details = self._looked_at(store, list(near)) if self._is_web else near
        return self._judged(root, {path: one for path, one in details.items() if one["type"] == "file"}, bounds)

    def _judged(self, root: str, details: dict[str, dict[str, Any]], bounds: ArchivesConfig) -> list[Member]:
        found = []
        for path, detail in details.items():
            is_itself = path.rstrip("/") == root
            name = root.rpartition("/")[2] if is_itself else path[len(root) :].strip("/")
            if is_hidden(name):
                continue
            size = detail.get("size")
            piece = Piece(name, _UNKNOWN if size is None else int(size), _version(detail), ITSELF if is_itself else 0)
            refusal = None
            if plain_name(name) != name:
                refusal = ("unsafe_name", "its name is none that a folder can hold")
            elif piece.num_bytes > bounds.max_member_bytes:
                refusal = ("too_large", "it is larger than archives.max_member_bytes")
            found.append(Member(piece, refusal))
        return found

    def heads(self, pieces: Sequence[Piece], num_bytes: int) -> Iterator[bytes]:
        """Give the first bytes of each file, fetched in batches; none where they cannot be had.

        Raises
        ------
        UsageError, PrecheckError
            As for `members`.
        """
        for start in range(0, len(pieces), _BATCH_FILES):
            for content in self._contents(pieces[start : start + _BATCH_FILES], num_bytes):
                yield content[:num_bytes] if isinstance(content, bytes) else b""

    def fetch(self, wanted: Sequence[tuple[Piece, Path]], max_bytes: int = MAX_FILE_BYTES) -> list[Refusal | None]:
        """Write files to where they are wanted, and say what was wrong with each: gone, denied, or too large.

        Raises
        ------
        UsageError, PrecheckError
            As for `members`.
        OSError
            There is no room.
        """
        results: list[Refusal | None] = []
        for batch in _batches(wanted):
            if len(batch) == 1 and batch[0][0].num_bytes > _BATCH_BYTES:
                results.append(self._stream(*batch[0], max_bytes))
                continue
            contents = self._contents([piece for piece, _ in batch], max_bytes + 1)
            for (_, path), content in zip(batch, contents, strict=True):
                if isinstance(content, bytes) and len(content) > max_bytes:
                    content = ("too_long", f"the file is larger than {max_bytes >> 20} MB")
                if isinstance(content, bytes):
                    path.write_bytes(content)
                results.append(None if isinstance(content, bytes) else content)
        return results

    def _stream(self, piece: Piece, path: Path, max_bytes: int) -> Refusal | None:
        """Copy a large file without holding it."""
        if piece.num_bytes > max_bytes:
            return "too_long", f"the file is larger than {max_bytes >> 20} MB"

        def copy() -> None:
            store, root = self._open()
            store.get_file(self._path(root, piece), str(path))

        with named_errors(self.address):
            return self._patiently(copy)

    def _contents(self, pieces: Sequence[Piece], num_bytes: int) -> list[bytes | Refusal]:
        """Fetch the beginnings of files at once."""
        found: list[bytes | Refusal] = [b""] * len(pieces)
        waiting = [number for number, piece in enumerate(pieces) if piece.num_bytes]

        def fetch() -> None:
            store, root = self._open()
            paths = [self._path(root, pieces[number]) for number in waiting]
            ends = [num_bytes if (size := pieces[n].num_bytes) < 0 else min(num_bytes, size) for n in waiting]
            width = {"batch_size": _AT_ONCE} if self._is_web else {}
            answers = store.cat_ranges(paths, [0] * len(paths), ends, on_error="return", **width)
            failed = []
            for number, end, answer in zip(tuple(waiting), ends, answers, strict=True):
                if not isinstance(answer, BaseException):
                    # A server without ranges sends the whole file.
                    found[number] = bytes(answer[:end])
                elif (refusal := refusal_of(answer)) is not None:
                    found[number] = refusal
                else:
                    failed.append((number, answer))
            waiting[:] = [number for number, _ in failed]
            if failed:
                raise failed[0][1]

        with named_errors(self.address):
            self._patiently(fetch)
        return found

    def _patiently(self, act: Any) -> Refusal | None:
        """Try again what may succeed; a refusal is the answer for one file alone."""
        for attempt in range(_TRIES):
            try:
                act()
            except Exception as error:  # stores raise errors of their own
                if (refusal := refusal_of(error)) is not None:
                    return refusal
                if attempt == _TRIES - 1 or isinstance(error, (HemometricError, ImportError, ValueError)):
                    raise
                time.sleep(_WAIT_S * 2**attempt)
            else:
                return None
        raise AssertionError("unreachable")

    def _open(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        store, root = url_to_fs(self.address)
        return store, str(root).rstrip("/")

    def _details(self, store: Any, root: str) -> dict[str, dict[str, Any]]:
        store.invalidate_cache()
        if not self._is_web:
            store.info(root)
            return dict(store.find(root, detail=True))
        # fsspec leaves out folders of the web that it cannot list, unless it is told to raise.
        try:
            found = store.find(root, detail=True, maxdepth=_MAX_DEPTH, on_error="raise")
        except FileNotFoundError:
            found = {}
        return self._looked_at(store, sorted(found or {root: {}}))

    def _looked_at(self, store: Any, paths: list[str]) -> dict[str, dict[str, Any]]:
        """Ask a web server for size and time of each file, which its lists of files do not say."""
        # Links with a query sort the list anew; they are no files.
        paths = [path for path in paths if not has_query(path)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return dict(zip(paths, pool.map(store.info, paths), strict=True))

    @property
    def _is_web(self) -> bool:
        return self.address.startswith(("http://", "https://"))

    @staticmethod
    def _path(root: str, piece: Piece) -> str:
        return root if piece.at == ITSELF else f"{root}/{piece.name}"


def _version(detail: dict[str, Any]) -> int:
    """Hash what changes with a file; where the store says nothing of that, every look finds another version."""
    told = [str(detail[name]) for name in _TIMES if detail.get(name)] or [str(time.time_ns())]
    return int.from_bytes(hashlib.sha256("\0".join(told).encode()).digest()[:7], "big")


def _batches(wanted: Sequence[tuple[Piece, Path]]) -> Iterator[list[tuple[Piece, Path]]]:
    batch: list[tuple[Piece, Path]] = []
    held = 0
    for one in wanted:
        size = max(one[0].num_bytes, _BATCH_BYTES // _BATCH_FILES if one[0].num_bytes < 0 else 0)
        if batch and (len(batch) == _BATCH_FILES or held + size > _BATCH_BYTES):
            yield batch
            batch, held = [], 0
        batch.append(one)
        held += size
    if batch:
        yield batch
