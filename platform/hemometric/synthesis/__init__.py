"""Twelve-lead ECGs with a planted wedge pressure, for places without data, for tests and for demos.

One dipole of Gaussians over the cardiac phase, seen by nine electrodes on a patient's own chest; pressure acts through
measurable features whose scatter is known, so the best reachable error is known too (`best_reachable`).
"""

from hemometric.synthesis.cohort import Cohort, Visit, generate
from hemometric.synthesis.config import PressureConfig, SynthesisConfig
from hemometric.synthesis.features import FEATURES, Feature
from hemometric.synthesis.population import Draws, Population
from hemometric.synthesis.posterior import best_reachable
from hemometric.synthesis.truth import Truth
from hemometric.synthesis.writer import check_folder, write_cohort

__all__ = [
    "FEATURES",
    "Cohort",
    "Draws",
    "Feature",
    "Population",
    "PressureConfig",
    "SynthesisConfig",
    "Truth",
    "Visit",
    "best_reachable",
    "check_folder",
    "generate",
    "write_cohort",
]
