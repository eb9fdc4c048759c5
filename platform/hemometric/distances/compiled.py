"""How this room compiles: for explicit types, without the interpreter's lock, kept on disk where that can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba import types


def compiled(function: Callable[..., None]) -> Any:
    """Wrap a function that numba will compile; made when first wanted, since even a cache that is unused writes."""
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
