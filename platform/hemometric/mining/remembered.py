"""What is compared of a recording, computed once in a run rather than once an epoch."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from hemometric.ecg import Float32
from hemometric.mining.compared import Compared

MAX_BYTES = 256 << 20
"""Some hundred thousand median beats."""

_SMALL = 0.5


class Remembered:
    """Gives what is compared of recordings, and keeps what is small beside the signal it came of.

    A median beat costs as much as all its distances within a batch, and is a hundredth of its signal; a slice of the
    leads costs nothing, and is nearly all of it. Beyond a bound nothing more is kept: in archives larger than that,
    forgetting the oldest would forget each recording before it comes again.

    Parameters
    ----------
    compared : Compared
        A pure function of each recording by itself.
    max_bytes : int
        Of all that is kept.
    """

    def __init__(self, compared: Compared, max_bytes: int = MAX_BYTES) -> None:
        self.compared = compared
        self.max_bytes = max_bytes
        self._kept: dict[tuple[str, int], Float32] = {}
        self._num_bytes = 0

    def __call__(self, signals: Float32, rate_hz: float, leads: Sequence[str], recording_ids: Sequence[str]) -> Float32:
        """Give what is compared; see `Compared`.

        Parameters
        ----------
        recording_ids : b str
            Whose signals these are. A signal that is not the one before is looked at again.
        """
        # A checksum costs a hundredth of a median beat.
        keys = [
            (name, zlib.crc32(np.ascontiguousarray(row).data)) for name, row in zip(recording_ids, signals, strict=True)
        ]
        known = [self._kept.get(key) for key in keys]
        missing = [row for row, found in enumerate(known) if found is None]
        if len(missing) == len(known):
            fresh = self.compared(signals, rate_hz, leads)
            self._keep(fresh, signals, keys)
            return fresh
        if missing:
            fresh = self.compared(signals[missing], rate_hz, leads)
            self._keep(fresh, signals, [keys[row] for row in missing])
            for row, found in zip(missing, fresh, strict=True):
                known[row] = found
        return np.stack([found for found in known if found is not None])

    def _keep(self, fresh: Float32, signals: Float32, keys: Sequence[tuple[str, int]]) -> None:
        if not len(fresh) or fresh[0].nbytes > _SMALL * signals[0].nbytes:
            return
        if self._num_bytes + fresh.nbytes <= self.max_bytes:
            self._num_bytes += fresh.nbytes
            self._kept.update(zip(keys, fresh, strict=True))
