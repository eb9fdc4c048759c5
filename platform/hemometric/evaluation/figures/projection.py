"""Embeddings, seen from where they spread most."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from hemometric.ecg import Float64
from hemometric.evaluation.figures.style import (
    HAIRLINE,
    INK,
    MARKERS,
    MUTED,
    SEQUENCE_MAP,
    SMALL_PT,
    add_legend,
    label,
    new_axes,
    say_nothing_to_show,
    series_color,
)

_RASTER_FROM = 2000


def principal_components(embeddings: npt.ArrayLike, num: int = 2) -> tuple[Float64, Float64]:
    """Coordinates [n, num] on the first principal axes, and the share of variance [num] of each.

    The sign of an axis is a convention: here its largest loading is positive, so that the same embeddings always look
    the same. Missing axes are 0.

    Raises
    ------
    ValueError
        The embeddings are not a finite [n, dim].
    """
    z = np.asarray(embeddings, dtype=np.float64)
    if z.ndim != 2 or not np.isfinite(z).all():
        raise ValueError(f"embeddings have shape {z.shape}; expected finite numbers [n, dim]")
    coordinates, shares = np.zeros((len(z), num)), np.zeros(num)
    if not z.size:
        return coordinates, shares
    _, lengths, axes = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)
    kept = min(num, len(lengths))
    axes = axes[:kept] * np.sign(axes[np.arange(kept), np.abs(axes[:kept]).argmax(axis=1)])[:, None]
    coordinates[:, :kept] = (z - z.mean(axis=0)) @ axes.T
    total = float((lengths**2).sum())
    shares[:kept] = lengths[:kept] ** 2 / total if total > 0 else 0.0
    return coordinates, shares


def embedding_projection(
    embeddings: npt.ArrayLike,
    colour_by: npt.ArrayLike | None = None,
    *,
    name: str = "",
    coordinates: npt.ArrayLike | None = None,
) -> Figure:
    """Draw embeddings on their first two principal axes, coloured by a number (colour bar) or a category (legend).

    Parameters
    ----------
    embeddings : float [n, dim]
    colour_by : [n], optional
        Numbers with NaN where unknown, or text with None where unknown; unknown is drawn in grey, below.
    name : str
        Of what the colours mean, with its unit.
    coordinates : float [n, 2], optional
        Another projection to draw instead of the principal axes.

    Raises
    ------
    ValueError
        Lengths differ, or the embeddings are not a finite [n, dim].
    """
    components, shares = principal_components(embeddings)
    places = components if coordinates is None else np.asarray(coordinates, dtype=np.float64)
    if places.shape != components.shape:
        raise ValueError(f"coordinates have shape {places.shape}; expected {components.shape}")
    figure, (axes,) = new_axes(5.2, 4.4)
    if not len(places):
        say_nothing_to_show(axes, "No embedding")
        return figure
    raster = len(places) > _RASTER_FROM
    style: dict[str, Any] = {"s": 16.0, "alpha": 0.75, "linewidths": 0.3, "rasterized": raster}
    known, numbers, categories = _colours(colour_by, len(places))
    if not known.all():
        text = "unknown" if colour_by is not None else None
        axes.scatter(
            *places[~known].T,
            color=HAIRLINE if known.any() else series_color(0),
            label=text,
            **style,
        )
    if numbers is not None and known.any():
        dots = axes.scatter(
            places[known, 0], places[known, 1], c=numbers[known], cmap=SEQUENCE_MAP, edgecolors=MUTED, **style
        )
        bar = figure.colorbar(dots, ax=axes, pad=0.02, aspect=28)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=SMALL_PT, length=3)
        bar.set_label(name, fontsize=SMALL_PT, color=INK)
        bar.solids.set_alpha(1.0)  # type: ignore[union-attr]
    for position, category in enumerate(sorted(set(categories[known].tolist())) if categories is not None else []):
        here = known & (categories == category)
        marker = MARKERS[position // 6 % len(MARKERS)]
        axes.scatter(
            *places[here].T,
            color=series_color(position),
            marker=marker,
            label=f"{category} ({here.sum():,})",
            **style,
        )
    axes.set_aspect("equal", adjustable="datalim")
    if categories is not None:
        add_legend(axes)
    if coordinates is None:
        label(
            axes,
            x=f"first axis ({shares[0]:.0%} of variance)",
            y=f"second axis ({shares[1]:.0%} of variance)",
            title="",
        )
    if categories is not None and name:
        label(axes, title=name)
    return figure


def _colours(
    colour_by: npt.ArrayLike | None, num: int
) -> tuple[npt.NDArray[np.bool_], Float64 | None, npt.NDArray[np.object_] | None]:
    """Which are known, and the numbers or the categories."""
    if colour_by is None:
        return np.zeros(num, dtype=bool), None, None
    values = np.asarray(colour_by)
    if values.shape != (num,):
        raise ValueError(f"colour_by has shape {values.shape}; expected [{num}]")
    if values.dtype.kind in "fiu":
        numbers = values.astype(np.float64)
        return np.isfinite(numbers), numbers, None
    categories = values.astype(object)
    known = np.array([value is not None and value == value and str(value) != "" for value in categories], dtype=bool)
    return known, None, np.array([str(value) for value in categories], dtype=object)
