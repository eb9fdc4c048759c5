"""Addresses of stores, and what their libraries' errors mean; neither is ever repeated with what may be secret.

Who may read what is settled by the environment or by fsspec's own config files, as the store's library documents it.
What a store says of an error is left out too: it may name files, and so patients.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from hemometric.errors import HemometricError, PrecheckError, UsageError
from hemometric.vendors.source import Refusal

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


def has_query(url: str) -> bool:
    """Whether an address asks for more than a file."""
    return "?" in url or "#" in url


def shown(url: str) -> str:
    """Write an address for a person, without anything in it that might be secret."""
    return _HIDDEN.sub(lambda found: "//" if found[0].startswith("//") else "", url)


@contextmanager
def named_errors(address: str) -> Iterator[None]:
    """Say in one sentence what keeps a store from being read."""
    try:
        yield
    except HemometricError:
        raise
    except ImportError:
        scheme = address.partition(":")[0]
        raise UsageError(
            f"source {shown(address)}: a library for {scheme}:// is not installed; fsspec's list of "
            "implementations names it, such as s3fs, gcsfs or adlfs"
        ) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        where = f"source {shown(address)}"
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
    # As fsspec says of all that goes wrong on the web; other stores have found that a name is in no list of theirs.
    if isinstance(error, FileNotFoundError) and cause is not None and not isinstance(cause, LookupError):
        return _meaning(cause)
    status = getattr(error, "status", None) or getattr(error, "code", None)
    if isinstance(error, FileNotFoundError) or status == _NOT_FOUND:
        return "gone"
    if isinstance(error, PermissionError) or status in _DENIED_STATUS or type(error).__name__ in _DENIED_ERRORS:
        return "denied"
    return ""


def refusal_of(error: BaseException) -> Refusal | None:
    """Give the answer for one file; None where the store as a whole is at fault."""
    if type(error).__name__ in _DENIED_ERRORS:
        return None
    return {"gone": _GONE, "denied": _DENIED}.get(_meaning(error))
