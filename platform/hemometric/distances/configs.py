"""Distances as the config names them, and as the miners call them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy.typing as npt
from pydantic import Field, field_validator

from hemometric.config import Config
from hemometric.distances import across_leads, archive_search, dtw, pointwise
from hemometric.distances.checks import Form, Metric, Window, checked_block
from hemometric.distances.engine import warm_up, warm_up_pairs
from hemometric.distances.placement import is_on_device
from hemometric.distances.schedule import Int64
from hemometric.distances.search_checks import Exclude
from hemometric.ecg import Float32


class Distance(Protocol):
    """A way to compare ECGs [signal, lead, sample] mV; see `dtw` for what the functions promise."""

    def pairwise(self, signals: npt.ArrayLike, threads: int | None = None) -> Float32:
        """Give the distances between all signals, [signal, signal]."""

    def cross(self, queries: npt.ArrayLike, others: npt.ArrayLike, threads: int | None = None) -> Float32:
        """Give the distances of queries to others, [query, other]."""

    def half_rows(self, signals: npt.ArrayLike, rows: npt.ArrayLike, threads: int | None = None) -> Float32:
        """Give the pairs that some signals own, [row, signal]."""

    def refine(self, signals: npt.ArrayLike, candidates: npt.ArrayLike, threads: int | None = None) -> Float32:
        """Give the distances of each signal to candidates of its own, [signal, k]; -1 is none, and infinitely far."""

    def warm_up(self, num_leads: int) -> None:
        """Compile what the first calls would."""


@dataclass(frozen=True)
class Dtw:
    """`dtw.pairwise` and its siblings at a given band and metric.

    A config does not know how long the signals will be: samples beyond their length are no band.

    Attributes
    ----------
    window : float, int or None
        Half-width of the band: a fraction of the samples, samples, or no band.
    metric : {"dependent", "independent"}
    form : {"difference", "gemm"}
        Of `pairwise`, `cross` and `half_rows`.
    """

    window: Window = None
    metric: Metric = "dependent"
    form: Form = "difference"

    def pairwise(self, signals: npt.ArrayLike, threads: int | None = None) -> Float32:
        """See `dtw.pairwise`."""
        band = self._band(signals, "signals")
        return dtw.pairwise(signals, window=band, metric=self.metric, form=self.form, threads=threads)

    def cross(self, queries: npt.ArrayLike, others: npt.ArrayLike, threads: int | None = None) -> Float32:
        """See `dtw.cross`."""
        band = self._band(queries, "queries")
        return dtw.cross(queries, others, window=band, metric=self.metric, form=self.form, threads=threads)

    def half_rows(self, signals: npt.ArrayLike, rows: npt.ArrayLike, threads: int | None = None) -> Float32:
        """See `dtw.half_rows`."""
        band = self._band(signals, "signals")
        return dtw.half_rows(signals, rows, window=band, metric=self.metric, form=self.form, threads=threads)

    def refine(self, signals: npt.ArrayLike, candidates: npt.ArrayLike, threads: int | None = None) -> Float32:
        """See `dtw.refine`; in the difference form always."""
        band = self._band(signals, "signals")
        return dtw.refine(signals, candidates, window=band, metric=self.metric, threads=threads)

    def nearest(
        self,
        queries: npt.ArrayLike,
        archive: npt.ArrayLike,
        k: int,
        exclude: Exclude | None = None,
        threads: int | None = None,
    ) -> tuple[Int64, Float32]:
        """See `archive_search.nearest`; in the difference form always."""
        band = self._band(queries, "queries")
        return archive_search.nearest(
            queries, archive, k, window=band, metric=self.metric, exclude=exclude, threads=threads
        )

    def warm_up(self, num_leads: int) -> None:
        """See `engine.warm_up` and `engine.warm_up_pairs`: `refine` has a kernel of its own."""
        warm_up(num_leads, self.metric, self.form)
        warm_up_pairs(num_leads, self.metric)

    def _band(self, signals: npt.ArrayLike, name: str) -> Window:
        if isinstance(self.window, bool) or not isinstance(self.window, int):
            return self.window
        shape: tuple[int, ...] = (
            getattr(signals, "shape", ()) if is_on_device(signals) else checked_block(signals, name).shape
        )
        return min([self.window, *shape[2:]])


@dataclass(frozen=True)
class Pointwise:
    """`pointwise.pairwise` and its siblings at a given cost.

    Attributes
    ----------
    cost : callable
        From a query [lead, sample] and others [other, lead, sample], float32 mV, to distances float32 [other]:
        `squared_euclidean`, `mean_absolute`, or one of your own.
    """

    cost: pointwise.Cost

    def pairwise(self, signals: npt.ArrayLike, threads: int | None = None) -> Float32:
        """See `pointwise.pairwise`."""
        return pointwise.pairwise(signals, self.cost, threads=threads)

    def cross(self, queries: npt.ArrayLike, others: npt.ArrayLike, threads: int | None = None) -> Float32:
        """See `pointwise.cross`."""
        return pointwise.cross(queries, others, self.cost, threads=threads)

    def half_rows(self, signals: npt.ArrayLike, rows: npt.ArrayLike, threads: int | None = None) -> Float32:
        """See `pointwise.half_rows`."""
        return pointwise.half_rows(signals, rows, self.cost, threads=threads)

    def refine(self, signals: npt.ArrayLike, candidates: npt.ArrayLike, threads: int | None = None) -> Float32:
        """See `pointwise.refine`."""
        return pointwise.refine(signals, candidates, self.cost, threads=threads)

    def warm_up(self, num_leads: int) -> None:
        """Do nothing: nothing is compiled."""


class DtwDistance(Config):
    """Dynamic time warping, squared.

    Attributes
    ----------
    window : float, int or None
        Half-width of the band: a float is a fraction of the samples compared, an int is samples, None is no band.
        Samples beyond the length of what is compared are no band either.
    metric : str
        ``dependent``: one path for all leads; ``independent``: a path for each, distances summed.
    form : str
        ``difference``; or ``gemm``, slightly faster for many leads, wrong between near duplicates: see `dtw.pairwise`.
    """

    kind: Literal["dtw"] = "dtw"
    window: int | float | None = 0.1
    metric: Metric = "dependent"
    form: Form = "difference"

    @field_validator("window", mode="before")
    @classmethod
    def _fits(cls, window: object) -> object:
        if window is not None and (isinstance(window, bool) or not isinstance(window, (int, float))):
            raise ValueError("give a fraction (0.1), samples (25), or null for no band")
        if isinstance(window, float) and not 0.0 <= window <= 1.0:
            raise ValueError("a fraction must lie in 0 … 1; for samples, give a whole number without a point")
        if isinstance(window, int) and window < 0:
            raise ValueError("samples must be at least 0")
        return window

    def build(self) -> Dtw:
        """Give the distance."""
        return Dtw(self.window, self.metric, self.form)


class EuclideanDistance(Config):
    """Squared Euclidean distance, summed over leads and samples: what DTW is without a warp."""

    kind: Literal["euclidean"] = "euclidean"

    def build(self) -> Pointwise:
        """Give the distance."""
        return Pointwise(pointwise.squared_euclidean)


class MeanAbsoluteDistance(Config):
    """Mean absolute difference over leads and samples."""

    kind: Literal["mean_absolute"] = "mean_absolute"

    def build(self) -> Pointwise:
        """Give the distance."""
        return Pointwise(pointwise.mean_absolute)


class DtwAcrossLeadsDistance(Config):
    """The published run's warp over leads instead of time, to compare with it; see `across_leads`."""

    kind: Literal["dtw_across_leads"] = "dtw_across_leads"

    def build(self) -> Pointwise:
        """Give the distance."""
        return Pointwise(across_leads.warped_leads)


DistanceConfig = Annotated[
    DtwDistance | EuclideanDistance | MeanAbsoluteDistance | DtwAcrossLeadsDistance, Field(discriminator="kind")
]
"""A distance as a config names it, by `kind`; ``build()`` gives the `Distance`."""
