"""hemometric: hospital ECG archives into embeddings and estimates of cardiac pressure, on Ray.

Importing the package does nothing: no torch, no Ray, no folders. `load` opens a model folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hemometric.encoders.model_folder import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from hemometric.encoders.model_folder import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
