"""Exact distances between ECGs: dynamic time warping in SIMD lanes, and the pointwise controls, for whole batches.

Usable alone: nothing here needs Ray or torch, and the compiler is imported at the first call.
"""

from hemometric.distances.across_leads import pairwise_across_leads
from hemometric.distances.archive_search import Search, nearest, search
from hemometric.distances.checks import Form, Metric, Window, band_samples
from hemometric.distances.configs import (
    Distance,
    DistanceConfig,
    Dtw,
    DtwAcrossLeadsDistance,
    DtwDistance,
    EuclideanDistance,
    MeanAbsoluteDistance,
    Pointwise,
)
from hemometric.distances.dtw import cross, half_rows, pairwise, refine
from hemometric.distances.engine import warm_up, warm_up_pairs
from hemometric.distances.independent_leads import reduced_leads
from hemometric.distances.paths import path
from hemometric.distances.pointwise import mean_absolute, squared_euclidean

__all__ = [
    "Distance",
    "DistanceConfig",
    "Dtw",
    "DtwAcrossLeadsDistance",
    "DtwDistance",
    "EuclideanDistance",
    "Form",
    "MeanAbsoluteDistance",
    "Metric",
    "Pointwise",
    "Search",
    "Window",
    "band_samples",
    "cross",
    "half_rows",
    "mean_absolute",
    "nearest",
    "pairwise",
    "pairwise_across_leads",
    "path",
    "reduced_leads",
    "refine",
    "search",
    "squared_euclidean",
    "warm_up",
    "warm_up_pairs",
]
