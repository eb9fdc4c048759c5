"""How much of the mined triplets a few recordings supply."""

from __future__ import annotations

import heapq
import logging
import math
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from hemometric.mining.mined import Mined

_log = logging.getLogger(__name__)

Role = Literal["positives", "negatives"]
_ROLES: tuple[Role, Role] = ("positives", "negatives")


class HubCounter:
    """Counts who is mined, and warns when a few recordings supply most of it.

    Nearest and farthest choices in many dimensions have hubs: outliers that are everyone's farthest, averages that
    are everyone's nearest. An encoder that learns "away from these few" learns nothing of the rest. Counts grow with
    the recordings seen; start a new counter with each epoch where they are many.

    Parameters
    ----------
    fraction : float
        The most used share of the recordings seen, at least one of them.
    limit : float
        Above this share of all draws, a warning is logged, once for positives and once for negatives.
    min_draws : int
        No warning before so many draws: few draws are always few recordings.
    """

    def __init__(self, fraction: float = 0.05, limit: float = 0.5, min_draws: int = 500) -> None:
        self.fraction = fraction
        self.limit = limit
        self.min_draws = min_draws
        self._seen: set[str] = set()
        self._counts: dict[Role, Counter[str]] = {role: Counter() for role in _ROLES}
        self._warned: set[Role] = set()
        # Batches are counted where they are mined, in a thread of its own; shares are read by the step.
        self._lock = threading.Lock()

    def update(self, mined: Mined, recording_ids: Sequence[str]) -> None:
        """Count one global batch and its triplets."""
        with self._lock:
            self._seen.update(recording_ids)
            self._counts["positives"].update(recording_ids[position] for position in mined.positives.tolist())
            self._counts["negatives"].update(recording_ids[position] for position in mined.negatives.tolist())

    def share(self, role: Role = "negatives") -> float:
        """Give the share of the positives or negatives that the most used recordings supply, 0 where there are none."""
        with self._lock:
            counts = self._counts[role]
            top = max(1, math.ceil(self.fraction * len(self._seen)))
            return sum(heapq.nlargest(top, counts.values())) / max(1, counts.total())

    def shares(self) -> dict[str, float]:
        """Give both shares as metrics to log, and warn where one is above the limit."""
        for role in _ROLES:
            draws, share = self._counts[role].total(), self.share(role)
            if draws >= self.min_draws and share > self.limit and role not in self._warned:
                self._warned.add(role)
                _log.warning(
                    "%.0f %% of %d mined %s come from the most used %.0f %% of %d recordings; "
                    "local scaling, random negatives or a larger batch spread them",
                    100 * share,
                    draws,
                    role,
                    100 * self.fraction,
                    len(self._seen),
                )
        return {f"hub_share_{role}": self.share(role) for role in _ROLES}
