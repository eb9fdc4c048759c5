"""The best that any reader of these ECGs can reach: the Monte-Carlo posterior of the pressure given its features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular
from scipy.stats import rankdata

from hemometric.ecg import Float64
from hemometric.errors import UsageError
from hemometric.synthesis.config import SynthesisConfig
from hemometric.synthesis.features import FEATURES, REFERENCE_MMHG, expected
from hemometric.synthesis.population import RESIDUAL_VARIANCE, Draws, Population

_CHUNK = 2048


def best_reachable(
    config: SynthesisConfig,
    *,
    num_draws: int = 20_000,
    seed: int = 0,
    thresholds_mmhg: tuple[float, ...] = (15.0, 18.0),
    num_grid: int = 800,
) -> dict[str, float]:
    r"""Score the observer who knows all features of one ECG exactly, and age, sex and site.

    For each of `num_draws` visits the posterior of the pressure p is evaluated on a grid of its latent score u,

    .. math:: p(u_g | f, a, s) \propto N(u_g; \mu(a, s), 0.85) \; N(f; m(p(u_g), a, s), \Sigma),

    with m the expected features and Sigma their biological scatter. Its mean minimises the squared error, and its mass
    above a threshold maximises the AUROC, among all functions of the waveform: the waveform is made of the features
    and of draws that are independent of the pressure. Readers of several visits of one patient may do better.

    Returns
    -------
    dict
        ``rmse_mmhg``, ``r2``, ``r``, one ``auroc_above_<threshold>`` each, ``sd_mmhg`` (the error of the mean),
        ``rmse_without_ecg_mmhg`` (age, sex and site only) and ``num_draws``.

    Raises
    ------
    UsageError
        Fewer than 100 draws, fewer than 16 points of the grid, or a threshold with no draw on one of its sides.
    """
    if num_draws < 100 or num_grid < 16:
        raise UsageError(
            f"best_reachable got num_draws={num_draws} and num_grid={num_grid}; take at least 100 draws and 16 points"
        )
    population = Population(config)
    draws = population.sample(num_draws, seed)
    truth = draws.mpcwp_mmhg
    mean, above = posterior(population, draws, thresholds_mmhg, num_grid=num_grid)
    prior_mean, _ = posterior(population, draws, (), num_grid=num_grid, use_features=False)
    squared = float(np.mean((mean - truth) ** 2))
    scores = {
        "rmse_mmhg": float(np.sqrt(squared)),
        "r2": 1.0 - squared / float(np.var(truth)),
        "r": float(np.corrcoef(mean, truth)[0, 1]),
    }
    for column, threshold in enumerate(thresholds_mmhg):
        scores[f"auroc_above_{threshold:g}"] = _auroc(truth > threshold, above[:, column], threshold)
    scores["sd_mmhg"] = float(np.std(truth))
    scores["rmse_without_ecg_mmhg"] = float(np.sqrt(np.mean((prior_mean - truth) ** 2)))
    scores["num_draws"] = float(num_draws)
    return scores


def posterior(
    population: Population,
    draws: Draws,
    thresholds_mmhg: tuple[float, ...],
    *,
    num_grid: int = 800,
    use_features: bool = True,
) -> tuple[Float64, Float64]:
    """Posterior mean [n] mmHg and posterior probability [n, threshold] of a pressure above each threshold.

    Effects are straight lines in the pressure, so that with d = p - 15.7, r the whitened residual of the features at
    d = 0 and v the whitened slopes, log N(f; m(p), Sigma) = r.v d - |v|^2 d^2 / 2 + const.
    """
    score = np.linspace(-6.0, 6.0, num_grid)
    pressure = population.pressure_of(score)
    above = pressure[:, None] > np.array(thresholds_mmhg)
    information, evidence = 0.0, np.zeros(len(draws.site))
    if use_features:
        root = np.linalg.cholesky(population.covariance)
        base = expected(np.array(REFERENCE_MMHG), draws.age_years, draws.is_male, population.sites.log_rate[draws.site])
        slopes = solve_triangular(root, np.array([feature.slope_per_mmhg for feature in FEATURES]), lower=True)
        evidence = solve_triangular(root, (draws.features - base).T, lower=True).T @ slopes
        information = float(slopes @ slopes)
    means, masses = [], []
    shift = pressure - REFERENCE_MMHG
    for start in range(0, len(draws.site), _CHUNK):
        part = slice(start, start + _CHUNK)
        log_weight = (
            -0.5 * np.square(score - draws.score_mean[part, None]) / RESIDUAL_VARIANCE
            + evidence[part, None] * shift
            - 0.5 * information * np.square(shift)
        )
        weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        means.append(weight @ pressure)
        masses.append(weight @ above.astype(np.float64))
    return np.concatenate(means), np.concatenate(masses)


def _auroc(is_above: npt.NDArray[np.bool_], score: Float64, threshold: float) -> float:
    """Mann and Whitney's U over all pairs, ties counting half."""
    num_above = int(is_above.sum())
    num_below = len(is_above) - num_above
    if not num_above or not num_below:
        raise UsageError(f"no draw lies on one side of {threshold:g} mmHg; choose a threshold inside the pressures")
    ranks = rankdata(score)
    return float((ranks[is_above].sum() - num_above * (num_above + 1) / 2) / (num_above * num_below))
