"""Which recordings of a patient may be paired: those acquired so far apart, and no farther."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hemometric.batches.order import Positions


@dataclass(frozen=True, eq=False)
class Partners:
    """The partners of each of N recordings: an earlier and a later run of its patient's, in the order of time.

    Attributes
    ----------
    by_time : int64 [N]
        All recordings, by patient, then time.
    before, after : int64 [N]
        Where a recording's runs of earlier and of later partners begin in `by_time`.
    num_before, num : int64 [N]
        How many the first run holds, and both.
    """

    by_time: Positions
    before: Positions
    after: Positions
    num_before: Positions
    num: Positions

    @classmethod
    def of(cls, patients: Positions, seconds: Positions, min_gap_s: int, max_gap_s: int | None) -> Partners:
        """Find them, in O(N log N).

        Parameters
        ----------
        patients, seconds : int64 [N]
            Whose it is, and when it was acquired.
        min_gap_s, max_gap_s : int
            Limits that still fit; None for no limit.
        """
        by_time = np.lexsort((seconds, patients))
        since = seconds[by_time] - seconds.min(initial=np.iinfo(np.int64).max)
        span = int(since.max(initial=0))
        low, high = (span + 1 if gap is None else min(gap, span + 1) for gap in (min_gap_s, max_gap_s))
        # All patients on one line, each so far from the next that no gap reaches across.
        line = np.unique(patients[by_time], return_inverse=True)[1] * (2 * span + 2) + since
        places = np.arange(len(line))
        before = np.searchsorted(line, line - high, side="left")
        after = np.searchsorted(line, line + low, side="left")
        # With a minimum of 0 the recording itself and its equals in time lie in both runs: the runs end beside it.
        until = np.minimum(np.searchsorted(line, line - low, side="right"), places)
        after = np.maximum(after, places + 1)
        end = np.searchsorted(line, line + high, side="right")
        num_before = np.maximum(until - before, 0)
        num = num_before + np.maximum(end - after, 0)
        place = np.argsort(by_time)  # of each recording
        return cls(by_time, before[place], after[place], num_before[place], num[place])

    def pick(self, recordings: Positions, nth: Positions) -> Positions:
        """Give the nth partner of each recording, int64 [recording]; 0 <= nth < num."""
        later = nth - self.num_before[recordings]
        places = np.where(later < 0, self.before[recordings] + nth, self.after[recordings] + later)
        return self.by_time[places]
