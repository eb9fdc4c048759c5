"""Who comes to which hospital with which pressure, and what their ECG will show: the label model, vectorised.

The causal order is site -> age -> pressure -> features. Pressure is a Gaussian copula: a latent score

    u = c (0.35 a + s_site) + sqrt(0.85) (sqrt(0.6) e_patient + sqrt(0.4) e_visit)

with a the standard score of age, s the case mix of the site and c the `confounding`, is a mixture of normals over the
sites with the distribution function F(u); mPCWP = Q(F(u)), Q the quantile function of the truncated normal. The
marginal is therefore exactly the configured one, however strongly age and site go with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from hemometric.ecg import Float64
from hemometric.synthesis.config import SynthesisConfig
from hemometric.synthesis.features import (
    FEATURES,
    PATIENT_SHARE,
    REFERENCE_MMHG,
    expected,
    in_units,
    scatter_covariance,
)
from hemometric.synthesis.sites import Sites, draw_sites
from hemometric.synthesis.truncated import TruncatedNormal, solve_parent

AGE_ON_SCORE = 0.35
RESIDUAL_VARIANCE = 0.85
PATIENT_PRESSURE_SHARE = 0.6
AGES = TruncatedNormal(centre=63.0, width=15.0, low=20.0, high=89.0)
"""Of an adult catheterisation laboratory (chosen); below 90, so that no age needs to be capped for privacy."""

Int = npt.NDArray[np.int64]
_K = len(FEATURES)
NUM_PATIENT_NORMALS = 8 + _K
NUM_VISIT_NORMALS = 5 + _K


@dataclass(frozen=True, eq=False)
class Draws:
    """Labels and features of n visits; every array has the shape [n], `features` [n, feature] on their own scales.

    `score_mean` is what age and site alone say of the latent pressure score.
    """

    site: Int
    is_male: Float64
    age_years: Float64
    mpcwp_mmhg: Float64
    mpap_mmhg: Float64
    co_l_min: Float64
    score_mean: Float64
    features: Float64
    pr_ms: Float64
    qt_ms: Float64

    @cached_property
    def measured(self) -> Float64:
        """The features in the units of their names, [n, feature]."""
        return in_units(self.features)


class Population:
    """The label model of a config: a pure function from standard normals to visits."""

    def __init__(self, config: SynthesisConfig) -> None:
        self.config = config
        self.sites: Sites = draw_sites(config)
        pressure = config.pressure
        self._pressures = solve_parent(pressure.mean_mmhg, pressure.sd_mmhg, pressure.low_mmhg, pressure.high_mmhg)
        self.covariance = scatter_covariance(config.scatter)
        self._root = np.linalg.cholesky(self.covariance)

    def draw(self, patient: Float64, visit: Float64) -> Draws:
        """Turn standard normals into visits.

        Parameters
        ----------
        patient : float64 [n, NUM_PATIENT_NORMALS]
            Equal rows belong to one patient.
        visit : float64 [n, NUM_VISIT_NORMALS]
            New for each visit.
        """
        share = ndtr(patient[:, 0])
        site = np.minimum(np.searchsorted(np.cumsum(self.sites.share), share, side="right"), self.config.num_sites - 1)
        is_male = (patient[:, 1] > 0.0).astype(np.float64)
        age_score = self.sites.age_shift[site] + patient[:, 2]
        # One decimal, as written to the label table: an observer of the table knows all that the model knows.
        age = np.round(AGES.quantile(ndtr(age_score)), 1)
        score_mean = self.score_mean(age_score, site)
        score = score_mean + np.sqrt(RESIDUAL_VARIANCE) * (
            np.sqrt(PATIENT_PRESSURE_SHARE) * patient[:, 3] + np.sqrt(1.0 - PATIENT_PRESSURE_SHARE) * visit[:, 0]
        )
        mpcwp = self.pressure_of(score)
        own = np.sqrt(PATIENT_SHARE) * patient[:, 4 : 4 + _K] + np.sqrt(1.0 - PATIENT_SHARE) * visit[:, 1 : 1 + _K]
        features = expected(mpcwp, age, is_male, self.sites.log_rate[site]) + own @ self._root.T
        units = in_units(features)
        p_ms, heart_rate = units[:, 0], units[:, 5]
        # Not informative: from here on nothing depends on the pressure other than through the features.
        rest_p, rest_v = patient[:, 4 + _K :], visit[:, 1 + _K :]
        segment = 47.0 * np.exp(0.24 * rest_p[:, 0] + 0.08 * rest_v[:, 0] + 0.02 * (age - 60.0) / 10.0)
        qtc = 416.0 - 9.0 * is_male + 1.5 * (age - 60.0) / 10.0 + 13.0 * rest_p[:, 1] + 8.0 * rest_v[:, 1]
        gradient = 8.5 * np.exp(0.32 * rest_p[:, 2] + 0.2 * rest_v[:, 2] + 0.012 * (mpcwp - REFERENCE_MMHG))
        stroke_ml = 66.0 * np.exp(
            0.17 * rest_p[:, 3]
            + 0.10 * rest_v[:, 3]
            + 0.10 * is_male
            - 0.03 * (age - 60.0) / 10.0
            - 0.008 * (mpcwp - REFERENCE_MMHG)
        )
        return Draws(
            site=site,
            is_male=is_male,
            age_years=age,
            mpcwp_mmhg=mpcwp,
            mpap_mmhg=mpcwp + gradient,
            co_l_min=heart_rate * stroke_ml / 1000.0,
            score_mean=score_mean,
            features=features,
            pr_ms=p_ms + segment,
            qt_ms=qtc * np.cbrt(60.0 / heart_rate),  # Fridericia 1920
        )

    def score_mean(self, age_score: Float64, site: Int) -> Float64:
        """Mean of the latent pressure score given age and site, [n]."""
        return self.config.confounding * (AGE_ON_SCORE * age_score + self.sites.pressure_shift[site])

    def pressure_of(self, score: Float64) -> Float64:
        """MPCWP in mmHg of latent scores of any shape; increasing."""
        score = np.asarray(score, dtype=np.float64)
        sd = np.sqrt(RESIDUAL_VARIANCE + (self.config.confounding * AGE_ON_SCORE) ** 2)
        below = np.zeros_like(score)
        for site in range(self.config.num_sites):
            mean = self.score_mean(self.sites.age_shift[site], np.array(site))
            below += self.sites.share[site] * ndtr((score - mean) / sd)
        return self._pressures.quantile(below)

    def sample(self, num_draws: int, seed: int) -> Draws:
        """Draw independent visits, one for each of `num_draws` new patients; for statistics, not for cohorts."""
        rng = np.random.default_rng([seed, self.config.seed])
        patient = rng.standard_normal((num_draws, NUM_PATIENT_NORMALS))
        return self.draw(patient, rng.standard_normal((num_draws, NUM_VISIT_NORMALS)))
