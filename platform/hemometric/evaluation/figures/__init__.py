"""Functions from arrays to a `matplotlib.figure.Figure`; `to_svg` and `to_png` draw it, the same bytes each time."""

from hemometric.evaluation.figures.agreement import predicted_against_true, roc_curve
from hemometric.evaluation.figures.counts import bars, histograms
from hemometric.evaluation.figures.neighbours import Warp, neighbours_figure
from hemometric.evaluation.figures.projection import embedding_projection, principal_components
from hemometric.evaluation.figures.style import to_png, to_svg
from hemometric.evaluation.figures.training import Trial, loss_curves, tuning_trials
from hemometric.evaluation.figures.triplets import triplet_figure

__all__ = [
    "Trial",
    "Warp",
    "bars",
    "embedding_projection",
    "histograms",
    "loss_curves",
    "neighbours_figure",
    "predicted_against_true",
    "principal_components",
    "roc_curve",
    "to_png",
    "to_svg",
    "triplet_figure",
    "tuning_trials",
]
