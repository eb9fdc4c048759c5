"""Stores of files that fsspec reads: S3, Google Cloud, Azure, web servers that list their folders, and others.

Who may read what is settled by the environment or by fsspec's own config files, as the store's library documents it;
an address never holds a secret. What a store says of an error is not repeated: it may name files, and so patients.
"""

from __future__ import annotations

import errno
import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hemometric.errors import HemometricError, PrecheckError, UsageError
from hemometric.vendors.archive_members import ArchivesConfig, Member, is_hidden, plain_name
from hemometric.vendors.source import MAX_FILE_BYTES, Piece, Refusal

_BATCH_FILES, _BATCH_BYTES = 64, 64 << 20
_TRIES, _WAIT_S = 3, 1.0
_LOOKS_AT_ONCE = 16
_MAX_DEPTH = 16
_UNKNOWN = -1
_ITSELF = 1
"""`Piece.at` of the one file that an address names."""

_TIMES = (
    "ETag", "etag", "md5", "content_md5", "Content-MD5", "LastModified", "last_modified", "Last-Modified", "updated",
    "mtime", "created",
)  # fmt: skip
_HIDDEN = re.compile(r"//[^/@]*@|[?#].*")
_DENIED_ERRORS = {
    "NoCredentialsError", "PartialCredentialsError", "ClientAuthenticationError", "DefaultCredentialsError",
    "RefreshError", "TokenRetrievalError", "UnauthorizedSSOTokenError",
}  # fmt: skip
_NOT_FOUND, _DENIED_STATUS = 404, (401, 403)
_GONE: Refusal = ("missing_file", "a file has vanished from the store since it was listed")
_DENIED: Refusal = ("unreadable", "the store denies reading a file")


def is_url(source: object) -> bool:
    """Whether a source is an address of a store, and no path."""
    return isinstance(source, str) and "://" in source


def checked_url(url: str) -> str:
    """Give an address as it is, where nothing in it is secret.

    Raises
    ------
    ValueError
        It holds a user, a password or a query; it is not repeated.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(
            "an address may hold no user, password or query; let the environment or fsspec's config give them"
        )
    return url


def shown(url: str) -> str:
    """Write an address for a person, without anything in it that might be secret."""
    return _HIDDEN.sub(lambda found: "//" if found[0].startswith("//") else "", url)


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
        with self._named():
            store, root = self._open()
            details = self._details(store, root)
        found = []
        for path, detail in details.items():
            is_itself = path.rstrip("/") == root
            name = root.rpartition("/")[2] if is_itself else path[len(root) :].strip("/")
            if is_hidden(name):
                continue
            size = detail.get("size")
            piece = Piece(name, _UNKNOWN if size is None else int(size), _version(detail), _ITSELF if is_itself else 0)
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

        with self._named():
            return self._patiently(copy)

    def _contents(self, pieces: Sequence[Piece], num_bytes: int) -> list[bytes | Refusal]:
        """Fetch the beginnings of files at once."""
        found: list[bytes | Refusal] = [b""] * len(pieces)
        waiting = [number for number, piece in enumerate(pieces) if piece.num_bytes]

        def fetch() -> None:
            store, root = self._open()
            paths = [self._path(root, pieces[number]) for number in waiting]
            ends = [num_bytes if (size := pieces[n].num_bytes) < 0 else min(num_bytes, size) for n in waiting]
            answers = store.cat_ranges(paths, [0] * len(paths), ends, on_error="return")
            failed = []
            for number, end, answer in zip(tuple(waiting), ends, answers, strict=True):
                if not isinstance(answer, BaseException):
                    # A server without ranges sends the whole file.
                    found[number] = bytes(answer[:end])
                elif (refusal := _refusal(answer)) is not None:
                    found[number] = refusal
                else:
                    failed.append((number, answer))
            waiting[:] = [number for number, _ in failed]
            if failed:
                raise failed[0][1]

        with self._named():
            self._patiently(fetch)
        return found

    def _patiently(self, act: Any) -> Refusal | None:
        """Try again what may succeed; a refusal is the answer for one file alone."""
        for attempt in range(_TRIES):
            try:
                act()
            except Exception as error:  # stores raise errors of their own
                if (refusal := _refusal(error)) is not None:
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
        if not self.address.startswith("http"):
            store.info(root)
            return dict(store.find(root, detail=True))
        # A web server says nothing of the files that it lists, and fsspec leaves out folders that it cannot list.
        try:
            found = store.find(root, detail=True, maxdepth=_MAX_DEPTH, on_error="raise")
        except FileNotFoundError:
            found = {}
        paths = sorted(path for path in found or {root: {}} if not _HIDDEN.search(path[len(root) :]))
        with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
            return dict(zip(paths, pool.map(store.info, paths), strict=True))

    @staticmethod
    def _path(root: str, piece: Piece) -> str:
        return root if piece.at == _ITSELF else f"{root}/{piece.name}"

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say in one sentence what keeps a store from being read."""
        try:
            yield
        except HemometricError:
            raise
        except ImportError:
            scheme = self.address.partition(":")[0]
            raise UsageError(
                f"source {shown(self.address)}: a library for {scheme}:// is not installed; fsspec's list of "
                "implementations names it, such as s3fs, gcsfs or adlfs"
            ) from None
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            where = f"source {shown(self.address)}"
            match _meaning(error):
                case "gone":
                    raise UsageError(f"{where} does not exist") from None
                case "denied":
                    raise UsageError(
                        f"{where} may not be read; give credentials by the environment or fsspec's config"
                    ) from None
            if isinstance(error, ValueError):
                raise UsageError(f"{where}: fsspec knows no such kind of store; s3, gs, az, https are some") from None
            raise PrecheckError(
                f"{where} cannot be reached ({type(error).__name__}); run the same command again when it can"
            ) from None


def _meaning(error: BaseException) -> str:
    """Say what a store's error means: ``gone``, ``denied``, or "" where trying again may help."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and cause is not None:  # as fsspec says of all that goes wrong on the web
        return _meaning(cause)
    status = getattr(error, "status", None) or getattr(error, "code", None)
    if isinstance(error, FileNotFoundError) or status == _NOT_FOUND:
        return "gone"
    if isinstance(error, PermissionError) or status in _DENIED_STATUS or type(error).__name__ in _DENIED_ERRORS:
        return "denied"
    return ""


def _refusal(error: BaseException) -> Refusal | None:
    """Give the answer for one file; None where the store as a whole is at fault."""
    if type(error).__name__ in _DENIED_ERRORS:
        return None
    return {"gone": _GONE, "denied": _DENIED}.get(_meaning(error))


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
