"""How much of the mined triplets a few recordings supply."""

from __future__ import annotations

import logging
import math
from collections import Counter
from typing import Literal

from hemometric.mining.mined import Mined

_log = logging.getLogger(__name__)

HUB_FRACTION = 0.05
"""The most used recordings, of all."""

MAX_HUB_SHARE = 0.5
"""Above it, what is learnt is learnt of a few recordings."""

Role = Literal["positives", "negatives"]
_ROLES: tuple[Role, Role] = ("positives", "negatives")


class HubCounter:
    """Counts who is mined, and warns when a few recordings supply most of it.

    Nearest and farthest choices in many dimensions have hubs: outliers that are everyone's farthest, averages that
    are everyone's nearest. An encoder that learns "away from these few" learns nothing of the rest.

    Parameters
    ----------
    fraction : float
        The most used share of the recordings seen, at least one of them.
    limit : float
        Above this share of all draws, a warning is logged, once for positives and once for negatives.
    min_draws : int
        No warning before so many draws: few draws are always few recordings.
    max_recordings : int
        Beyond so many recordings seen, counting begins anew, so that memory is bounded (some 300 bytes each); until
        there are `min_draws` again, shares are those of the last count.
    """

    def __init__(
        self,
        fraction: float = HUB_FRACTION,
        limit: float = MAX_HUB_SHARE,
        min_draws: int = 500,
        max_recordings: int = 200_000,
    ) -> None:
        self.fraction = fraction
        self.limit = limit
        self.min_draws = min_draws
        self.max_recordings = max_recordings
        self._last: dict[Role, float] = {}
        self._warned: set[Role] = set()
        self._begin()

    def _begin(self) -> None:
        self._seen: set[str] = set()
        self._counts: dict[Role, Counter[str]] = {role: Counter() for role in _ROLES}
        # From a count to how many recordings have it: so a share is read from a few numbers, however many there are.
        self._holders: dict[Role, Counter[int]] = {role: Counter() for role in _ROLES}
        self._draws: dict[Role, int] = dict.fromkeys(_ROLES, 0)

    def update(self, mined: Mined) -> None:
        """Count one global batch and its triplets."""
        if len(self._seen) > self.max_recordings:
            self._last = {role: self.share(role) for role in _ROLES}
            self._begin()
        self._seen.update(mined.recording_ids)
        self._count("positives", [mined.recording_ids[position] for position in mined.positives.tolist()])
        self._count("negatives", [mined.recording_ids[position] for position in mined.negatives.tolist()])

    def _count(self, role: Role, names: list[str]) -> None:
        counts, holders = self._counts[role], self._holders[role]
        for name in names:
            before = counts[name]
            counts[name] = before + 1
            holders[before + 1] += 1
            if before:
                holders[before] -= 1
        self._draws[role] += len(names)

    def share(self, role: Role = "negatives") -> float:
        """Give the share of the positives or negatives that the most used recordings supply, 0 where there are none."""
        if role in self._last and self._draws[role] < self.min_draws:
            return self._last[role]
        left = max(1, math.ceil(self.fraction * len(self._seen)))
        supplied = 0
        for count in sorted(self._holders[role], reverse=True):
            taken = min(left, self._holders[role][count])
            supplied, left = supplied + taken * count, left - taken
        return supplied / max(1, self._draws[role])

    def shares(self, *, warn: bool = True) -> dict[str, float]:
        """Give both shares as metrics to log, and warn where one is above the limit."""
        shares = {role: self.share(role) for role in _ROLES}
        for role, share in shares.items():
            if warn and self._draws[role] >= self.min_draws and share > self.limit and role not in self._warned:
                self._warned.add(role)
                _log.warning(
                    "%.0f %% of %d mined %s come from the most used %.0f %% of %d recordings; "
                    "local scaling, random negatives or a larger batch spread them",
                    100 * share,
                    self._draws[role],
                    role,
                    100 * self.fraction,
                    len(self._seen),
                )
        return {f"hub_share_{role}": share for role, share in shares.items()}
