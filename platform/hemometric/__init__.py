"""hemometric: hospital ECG archives into embeddings and estimates of cardiac pressure, on Ray.

Importing the package does nothing: no torch, no Ray, no folders. `read` opens ECG files, `load` a model folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hemometric.encoders.model_folder import load
    from hemometric.vendors.recordings import read_recordings as read

__version__ = "0.1.0"
__all__ = ["__version__", "load", "read"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from hemometric.encoders.model_folder import load

        return load
    if name == "read":
        from hemometric.vendors.recordings import read_recordings

        return read_recordings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
