"""The best reachable error is right: against brute force, against regression, and at both ends of the scatter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score

from hemometric.errors import UsageError
from hemometric.synthesis import FEATURES, Population, SynthesisConfig, best_reachable
from hemometric.synthesis.features import scatter_covariance
from hemometric.synthesis.population import Draws
from hemometric.synthesis.posterior import posterior


def _brute_force(population: Population, draws: Draws, row: int, threshold: float) -> tuple[float, float]:
    """Posterior mean and mass above a threshold by a plain loop over a grid of pressures, densities from scipy.

    The prior mass of a step in pressure is that of the scores which map into it.
    """
    low, high, steps = 2.0, 45.0, 1500
    score_axis = np.linspace(-9.0, 9.0, 40_001)
    pressure_axis = population.pressure_of(score_axis)
    feature_scatter = stats.multivariate_normal(np.zeros(len(FEATURES)), scatter_covariance(population.config.scatter))
    total = mean = above = 0.0
    width = (high - low) / steps
    for step in range(steps):
        p = low + (step + 0.5) * width
        u_left, u_right = np.interp([p - 0.5 * width, p + 0.5 * width], pressure_axis, score_axis)
        edges = (np.array([u_left, u_right]) - draws.score_mean[row]) / math.sqrt(0.85)
        prior = float(np.diff(stats.norm.cdf(edges))[0])
        residual = []
        for column, feature in enumerate(FEATURES):
            expected = math.log(feature.base) if feature.is_log else feature.base
            expected += feature.slope_per_mmhg * (p - 15.7)
            expected += feature.age_per_decade * (draws.age_years[row] - 60.0) / 10.0
            expected += feature.male * draws.is_male[row]
            if feature.name == "heart_rate_bpm":
                expected += population.sites.log_rate[draws.site[row]]
            residual.append(draws.features[row, column] - expected)
        weight = prior * feature_scatter.pdf(residual)
        total += weight
        mean += weight * p
        above += weight * (p > threshold)
    return mean / total, above / total


def test_posterior_equals_brute_force() -> None:
    population = Population(SynthesisConfig(num_sites=3, seed=4))
    draws = population.sample(12, seed=8)
    means, above = posterior(population, draws, (18.0,))
    for row in range(12):
        mean, mass = _brute_force(population, draws, row, 18.0)
        assert means[row] == pytest.approx(mean, abs=0.01)
        assert above[row, 0] == pytest.approx(mass, abs=0.01)


def test_the_default_world_is_believable() -> None:
    scores = best_reachable(SynthesisConfig(), num_draws=20_000)
    assert 5.0 < scores["rmse_mmhg"] < 5.6
    assert 0.83 < scores["auroc_above_18"] < 0.88
    assert 0.82 < scores["auroc_above_15"] < 0.88
    assert scores["rmse_mmhg"] < scores["rmse_without_ecg_mmhg"] - 1.0
    assert scores["rmse_without_ecg_mmhg"] < scores["sd_mmhg"]
    assert scores["r2"] == pytest.approx(1.0 - (scores["rmse_mmhg"] / scores["sd_mmhg"]) ** 2)
    # A posterior mean is calibrated: its correlation is the square root of what it explains.
    assert scores["r"] == pytest.approx(math.sqrt(scores["r2"]), abs=0.01)


@pytest.mark.parametrize("scatter", [0.5, 1.0, 2.0])
def test_no_regression_on_the_true_features_beats_it(scatter: float) -> None:
    config = SynthesisConfig(scatter=scatter, num_sites=3, seed=1)
    population = Population(config)
    draws = population.sample(20_000, seed=0)
    scores = best_reachable(config, num_draws=20_000, seed=0)
    known = np.column_stack([draws.features, draws.age_years, draws.is_male, np.eye(3)[draws.site]])
    fitted = LinearRegression().fit(known, draws.mpcwp_mmhg).predict(known)  # in sample: flattered
    rmse = float(np.sqrt(np.mean((fitted - draws.mpcwp_mmhg) ** 2)))
    assert scores["rmse_mmhg"] < rmse
    # Yet it comes near, so that the bound is no idle one.
    assert scores["rmse_mmhg"] > 0.9 * rmse
    assert scores["auroc_above_18"] > roc_auc_score(draws.mpcwp_mmhg > 18.0, fitted) - 1e-3


def test_probabilities_are_calibrated() -> None:
    population = Population(SynthesisConfig())
    draws = population.sample(20_000, seed=3)
    _, above = posterior(population, draws, (18.0,))
    truth = draws.mpcwp_mmhg > 18.0
    for low in np.arange(0.0, 1.0, 0.2):
        inside = (above[:, 0] >= low) & (above[:, 0] < low + 0.2)
        error = 4.0 * 0.5 / np.sqrt(inside.sum())
        assert above[inside, 0].mean() == pytest.approx(truth[inside].mean(), abs=error)


def test_more_scatter_is_harder_and_none_is_easy() -> None:
    rmse = [best_reachable(SynthesisConfig(scatter=s), num_draws=2000)["rmse_mmhg"] for s in (0.05, 0.5, 1.0, 10.0)]
    assert rmse == sorted(rmse)
    assert rmse[0] < 0.7
    drowned = best_reachable(SynthesisConfig(scatter=10.0), num_draws=2000)
    assert drowned["rmse_mmhg"] == pytest.approx(drowned["rmse_without_ecg_mmhg"], rel=0.02)


def test_auroc_agrees_with_scikit_learn() -> None:
    config = SynthesisConfig()
    population = Population(config)
    draws = population.sample(3000, seed=5)
    _, above = posterior(population, draws, (15.0, 18.0))
    scores = best_reachable(config, num_draws=3000, seed=5)
    assert scores["auroc_above_15"] == pytest.approx(roc_auc_score(draws.mpcwp_mmhg > 15.0, above[:, 0]), abs=1e-12)
    assert scores["auroc_above_18"] == pytest.approx(roc_auc_score(draws.mpcwp_mmhg > 18.0, above[:, 1]), abs=1e-12)


def test_it_is_deterministic_and_refuses_nonsense() -> None:
    config = SynthesisConfig()
    assert best_reachable(config, num_draws=500) == best_reachable(config, num_draws=500)
    with pytest.raises(UsageError, match="at least 100 draws"):
        best_reachable(config, num_draws=10)
    with pytest.raises(UsageError, match="60 mmHg"):
        best_reachable(config, num_draws=200, thresholds_mmhg=(60.0,))
