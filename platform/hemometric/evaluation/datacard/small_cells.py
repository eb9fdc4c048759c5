"""What of a table of counts may be shown: nobody shall be found in a cell of few, nor by subtraction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

LEAST = 5
"""Patients that a cell needs to be shown, where nothing else is asked for."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class SmallCells:
    """The rule; see the module's first line.

    Attributes
    ----------
    least : int
        Cells of fewer patients are not shown; 0 and 1 show everything.
    """

    least: int = LEAST

    @property
    def sign(self) -> str:
        """What stands in place of a count that is too small."""
        return f"<{self.least}"

    def shows(self, num_patients: int) -> bool:
        """Whether a count is large enough; none at all is nobody's secret."""
        return num_patients == 0 or num_patients >= self.least

    def count(self, num_patients: int) -> int | str:
        """Give the count, or the sign that it is small."""
        return num_patients if self.shows(num_patients) else self.sign

    def hidden(self, patients: Counter[K], *, adds_up: bool) -> frozenset[K]:
        """Say which cells are not shown; what is not known (None) says nothing of anybody, and is always shown.

        Parameters
        ----------
        adds_up : bool
            All cells together are a number that is shown elsewhere. Then a hidden cell could be had by subtraction:
            the next larger ones are hidden with it, until `least` patients are, who are in two cells then or more.
        """
        patients = Counter({cell: num for cell, num in patients.items() if cell is not None})
        hidden = {cell for cell, num in patients.items() if not self.shows(num)}
        if not hidden or not adds_up:
            return frozenset(hidden)
        rest = sorted((num, str(cell), cell) for cell, num in patients.items() if num and cell not in hidden)
        total = sum(patients[cell] for cell in hidden)
        for num, _, cell in rest:
            if total >= self.least:
                break
            hidden.add(cell)
            total += num
        return frozenset(hidden)

    def hidden_in_groups(self, patients: Mapping[str, Counter[K]], totals: Counter[str]) -> frozenset[K]:
        """Say which cells are not shown where each lies in one group, and the groups' totals are a table beside it.

        What is hidden in a group that is shown must be enough for itself, since subtraction within it gives its sum.
        Groups that are not shown are known as a whole only, and so are their cells.

        Parameters
        ----------
        patients : mapping
            From each group to the count of each of its cells.
        totals : Counter
            Patients of each group, hidden among themselves as `hidden` says.
        """
        closed = self.hidden(totals, adds_up=True)
        together: Counter[K] = sum((cells for group, cells in patients.items() if group in closed), Counter())
        parts = [together, *(cells for group, cells in patients.items() if group not in closed)]
        return frozenset[K]().union(*(self.hidden(part, adds_up=True) for part in parts))
