"""hemometric: hospital ECG archives into embeddings and estimates of cardiac pressure, on Ray.

Importing the package does nothing: no torch, no Ray, no folders. What is used from Python is loaded when first named:

- `hemometric.read` opens ECG files, `hemometric.load` a model folder.
- `hemometric.distances` compares ECGs [signal, lead, sample] mV by dynamic time warping (DTW) and pointwise: `pairwise`
  for all of a batch, `cross` for two sets, `refine` for candidates, `nearest` for an archive, `path` for one alignment.
- `hemometric.waveform` prepares them: `median_beats`, `prepare`, `resample`, and the gates of quality, `assess`.
- `hemometric.corpus.open_corpus` opens a corpus: its table, and its recordings one by one.
- `hemometric.mining` makes pairs and triplets of such distances, or of labels, for contrastive learning.

All else is the command `hemometric`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hemometric import distances, mining, waveform
    from hemometric.encoders.model_folder import load
    from hemometric.vendors.recordings import read_recordings as read

__version__ = "0.1.0"
__all__ = ["__version__", "distances", "load", "mining", "read", "waveform"]


def __getattr__(name: str) -> Any:
    if name in ("distances", "mining", "waveform"):
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    if name == "load":
        from hemometric.encoders.model_folder import load

        return load
    if name == "read":
        from hemometric.vendors.recordings import read_recordings

        return read_recordings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
