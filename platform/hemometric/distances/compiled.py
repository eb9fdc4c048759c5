"""How this room compiles: for explicit types, without the interpreter's lock, kept on disk where that can be."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
from numba import types


def compiled(function: Callable[..., None], *sources: ModuleType) -> Any:
    """Wrap a function that numba will compile; made when first wanted, since even a cache that is unused writes.

    Numba's cache watches date and size of the function's own file only: the names of cached functions therefore carry
    a digest of all `sources` that they are made from.
    """
    digest = hashlib.sha256(b"".join(Path(str(source.__file__)).read_bytes() for source in sources))
    function.__qualname__ = f"{function.__name__}_{digest.hexdigest()[:12]}"
    try:
        return numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # no folder where a cache could be written: compile anew in each process
        return numba.njit(nogil=True, error_model="numpy")(function)


def compiler_is_off() -> bool:
    """Whether NUMBA_DISABLE_JIT leaves all functions to the interpreter."""
    return bool(numba.config.DISABLE_JIT)


def array_type(dtype: Any, ndim: int, *, readonly: bool = True) -> Any:
    """Name the type of a C-contiguous array."""
    return types.Array(dtype, ndim, "C", readonly=readonly)


def read_only(array: Any) -> Any:
    """Give the one type that a kernel is compiled for: numba tells arrays apart by whether they may be written."""
    view = array.view()
    view.flags.writeable = False
    return view
