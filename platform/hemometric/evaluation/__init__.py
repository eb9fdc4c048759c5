"""From predictions and embeddings to what they are worth.

Scores with intervals over patients, linear probes on frozen embeddings, baselines without an ECG, clinical ECG pages,
figures, and one HTML report that holds them all.
"""

from hemometric.evaluation.baselines import AgeSexFeatures
from hemometric.evaluation.classes import MIN_PATIENTS, ClassScores, class_table
from hemometric.evaluation.figures import (
    Trial,
    Warp,
    embedding_projection,
    loss_curves,
    neighbours_figure,
    predicted_against_true,
    principal_components,
    roc_curve,
    to_png,
    to_svg,
    triplet_figure,
    tuning_trials,
)
from hemometric.evaluation.intervals import Interval, bootstrap, by_rows, paired_difference, replicates
from hemometric.evaluation.page import ecg_page, page_bytes, save_page
from hemometric.evaluation.probe import Probe, logistic_probe, ridge_probe
from hemometric.evaluation.report import (
    KeyFigure,
    Picture,
    Questions,
    Report,
    Section,
    Text,
    picture,
    render,
    write_report,
)
from hemometric.evaluation.scores import (
    BINARY_SCORES,
    MULTILABEL_SCORES,
    REGRESSION_SCORES,
    Score,
    Scores,
    binary_scores,
    multilabel_scores,
    regression_scores,
    roc_points,
)
from hemometric.evaluation.spark import Spark
from hemometric.evaluation.summary import Comparison, SystemScores, compare
from hemometric.evaluation.table import Column, Table

__all__ = [
    "BINARY_SCORES",
    "MIN_PATIENTS",
    "MULTILABEL_SCORES",
    "REGRESSION_SCORES",
    "AgeSexFeatures",
    "ClassScores",
    "Column",
    "Comparison",
    "Interval",
    "KeyFigure",
    "Picture",
    "Probe",
    "Questions",
    "Report",
    "Score",
    "Scores",
    "Section",
    "Spark",
    "SystemScores",
    "Table",
    "Text",
    "Trial",
    "Warp",
    "binary_scores",
    "bootstrap",
    "by_rows",
    "class_table",
    "compare",
    "ecg_page",
    "embedding_projection",
    "logistic_probe",
    "loss_curves",
    "multilabel_scores",
    "neighbours_figure",
    "page_bytes",
    "paired_difference",
    "picture",
    "predicted_against_true",
    "principal_components",
    "regression_scores",
    "render",
    "replicates",
    "ridge_probe",
    "roc_curve",
    "roc_points",
    "save_page",
    "to_png",
    "to_svg",
    "triplet_figure",
    "tuning_trials",
    "write_report",
]
