"""A histogram as small as a word, for a table's cell."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

_BLOCKS = " ▁▂▃▄▅▆▇█"
_BAR, _HEIGHT, _LEAST = 10, 60, 2
_LEAST_BARS = 16  # fewer would be blocks


@dataclass(frozen=True)
class Spark:
    """Heights of the bars, as counts or shares, none below 0; `alt` says in words what they show."""

    heights: tuple[float, ...]
    alt: str

    def __str__(self) -> str:
        """Draw it in letters, where there are no drawings."""
        return "".join(_BLOCKS[_steps(share, len(_BLOCKS) - 1)] for share in self._shares()).rstrip() or "–"

    def markup(self) -> Markup:
        """Draw it for a page."""
        bars = [
            Markup('<rect x="{}" y="{}" width="{}" height="{}"/>').format(
                place * _BAR, _HEIGHT - height, _BAR - 2, height
            )
            for place, share in enumerate(self._shares())
            if (height := max(_LEAST, round(share * _HEIGHT)) if share > 0 else 0)
        ]
        return Markup(
            '<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
        ).format(max(len(self.heights), _LEAST_BARS) * _BAR, _HEIGHT, self.alt, Markup("").join(bars))

    def _shares(self) -> list[float]:
        highest = max(self.heights, default=0.0)
        return [height / highest if highest > 0 else 0.0 for height in self.heights]


def _steps(share: float, num: int) -> int:
    """Which of `num` steps a share reaches; what is there at all reaches the first."""
    return max(1, round(share * num)) if share > 0 else 0
