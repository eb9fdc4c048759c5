"""What there is to tell of mined batches: hubs, and how often something else was taken than was asked for."""

from __future__ import annotations

from collections import Counter

from hemometric.mining.hubs import HubCounter
from hemometric.mining.mined import Mined


class MiningTally:
    """Gathers mined batches until it is read.

    It counts what the step has used, not what was mined ahead of it: so it says the same on every rank and in every
    run of the same steps.
    """

    def __init__(self) -> None:
        self._hubs = HubCounter()
        self._begin()

    def _begin(self) -> None:
        self._num_recordings = 0
        self._fallbacks: Counter[str] = Counter()

    def add(self, mined: Mined) -> None:
        """Count one global batch."""
        self._hubs.update(mined)
        self._num_recordings += len(mined.recording_ids)
        self._fallbacks.update(mined.fallbacks)

    def read(self, *, warn: bool) -> dict[str, float]:
        """Give figures to log, and begin the fallbacks anew.

        ``hub_share_positives`` and ``hub_share_negatives`` of all that was counted (see `HubCounter`, which warns
        where `warn` is set), ``fallback_share_…`` since the last reading (see `Mined.fallbacks`). Nothing where
        nothing was mined.
        """
        if not self._num_recordings:
            return {}
        shares = {f"fallback_share_{name}": num / self._num_recordings for name, num in self._fallbacks.items()}
        self._begin()
        return self._hubs.shares(warn=warn) | shares
