"""The label model: marginals, confounders and effects are those that the config and the feature table promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from hemometric.synthesis import FEATURES, Population, PressureConfig, SynthesisConfig
from hemometric.synthesis.features import REFERENCE_MMHG, scatter_covariance
from hemometric.synthesis.population import NUM_PATIENT_NORMALS, NUM_VISIT_NORMALS, Draws
from hemometric.synthesis.truncated import TruncatedNormal, solve_parent


@pytest.fixture(scope="module")
def draws() -> Draws:
    return Population(SynthesisConfig(num_sites=4, seed=5)).sample(200_000, seed=11)


@pytest.mark.parametrize(
    ("mean", "sd", "low", "high"), [(15.7, 8.1, 2.0, 45.0), (25.0, 9.0, 2.0, 45.0), (30, 3, 0, 40)]
)
def test_truncated_normal_agrees_with_scipy(mean: float, sd: float, low: float, high: float) -> None:
    parent = solve_parent(mean, sd, low, high)
    a, b = (low - parent.centre) / parent.width, (high - parent.centre) / parent.width
    peer = stats.truncnorm(a, b, parent.centre, parent.width)
    assert parent.moments() == pytest.approx((mean, sd), abs=1e-6)
    assert parent.moments() == pytest.approx((peer.mean(), peer.std()), abs=1e-6)
    shares = np.linspace(0.001, 0.999, 21)
    np.testing.assert_allclose(parent.quantile(shares), peer.ppf(shares), rtol=1e-9)


def test_quantiles_stay_in_the_interval() -> None:
    cut = TruncatedNormal(10.0, 5.0, 2.0, 45.0)
    np.testing.assert_allclose(cut.quantile(np.array([0.0, 1.0])), [2.0, 45.0], rtol=1e-14)
    assert cut.quantile(np.array([1.0]))[0] <= 45.0


def test_pressures_have_the_published_mean_and_sd(draws: Draws) -> None:
    pressure = draws.mpcwp_mmhg
    # Four standard errors at 200,000 draws.
    assert pressure.mean() == pytest.approx(15.7, abs=0.075)
    assert pressure.std() == pytest.approx(8.1, abs=0.06)
    assert pressure.min() >= 2.0
    assert pressure.max() <= 45.0


@pytest.mark.parametrize("confounding", [0.0, 1.0])
def test_pressures_are_a_truncated_normal_whatever_confounds(confounding: float) -> None:
    config = SynthesisConfig(confounding=confounding, num_sites=5, seed=2)
    pressure = Population(config).sample(50_000, seed=1).mpcwp_mmhg
    parent = solve_parent(15.7, 8.1, 2.0, 45.0)
    a, b = (2.0 - parent.centre) / parent.width, (45.0 - parent.centre) / parent.width
    assert stats.kstest(pressure, stats.truncnorm(a, b, parent.centre, parent.width).cdf).pvalue > 1e-3


def test_another_population_can_be_asked_for() -> None:
    config = SynthesisConfig(pressure=PressureConfig(mean_mmhg=20.0, sd_mmhg=6.0, low_mmhg=5.0, high_mmhg=40.0))
    pressure = Population(config).sample(50_000, seed=1).mpcwp_mmhg
    assert (pressure.mean(), pressure.std()) == (pytest.approx(20.0, abs=0.11), pytest.approx(6.0, abs=0.08))


def test_age_and_site_confound_and_can_be_told_not_to(draws: Draws) -> None:
    assert 0.2 < np.corrcoef(draws.age_years, draws.mpcwp_mmhg)[0, 1] < 0.5
    by_site = [draws.mpcwp_mmhg[draws.site == site].mean() for site in range(4)]
    assert max(by_site) - min(by_site) > 1.0
    # In a city without confounding neither age nor site say anything about the pressure.
    fair = Population(SynthesisConfig(num_sites=4, seed=5, confounding=0.0)).sample(100_000, seed=11)
    assert abs(np.corrcoef(fair.age_years, fair.mpcwp_mmhg)[0, 1]) < 0.013
    assert stats.f_oneway(*(fair.mpcwp_mmhg[fair.site == site] for site in range(4))).pvalue > 1e-4


def test_people_are_plausible(draws: Draws) -> None:
    assert draws.age_years.min() >= 20.0
    assert draws.age_years.max() < 90.0
    assert 0.48 < draws.is_male.mean() < 0.52
    assert (draws.mpap_mmhg > draws.mpcwp_mmhg).all()
    assert 21.0 < draws.mpap_mmhg.mean() < 30.0
    assert 4.0 < np.median(draws.co_l_min) < 6.0
    assert np.corrcoef(draws.co_l_min, draws.mpcwp_mmhg)[0, 1] < -0.05


def test_features_follow_their_table(draws: Draws) -> None:
    site_columns = np.eye(4)[draws.site]
    design = np.column_stack(
        [draws.mpcwp_mmhg - REFERENCE_MMHG, (draws.age_years - 60.0) / 10.0, draws.is_male, site_columns]
    )
    found, *_ = np.linalg.lstsq(design, draws.features, rcond=None)
    covariance = scatter_covariance(1.0)
    residual = draws.features - design @ found
    np.testing.assert_allclose(residual.T @ residual / len(residual), covariance, atol=0.02 * covariance.max())
    tight = np.diag(covariance) ** 0.5 / np.sqrt(len(residual))
    for column, feature in enumerate(FEATURES):
        wanted = [feature.slope_per_mmhg, feature.age_per_decade, feature.male]
        np.testing.assert_allclose(found[:3, column], wanted, atol=12.0 * tight[column], err_msg=feature.name)
        assert abs(found[0, column] - feature.slope_per_mmhg) < tight[column]


def test_documented_directions() -> None:
    sign = {feature.name: np.sign(feature.slope_per_mmhg) for feature in FEATURES}
    assert sign == {
        "p_ms": 1.0,
        "p_terminal_v1_mv": 1.0,
        "qrs_ms": 1.0,
        "t_v5_mv": -1.0,
        "sokolow_lyon_mv": -1.0,
        "heart_rate_bpm": 1.0,
    }


def test_scatter_is_a_covariance_and_scales() -> None:
    assert np.linalg.eigvalsh(scatter_covariance(1.0)).min() > 0.0
    np.testing.assert_allclose(scatter_covariance(2.0), 4.0 * scatter_covariance(1.0))


def test_visits_of_one_patient_resemble_each_other() -> None:
    population = Population(SynthesisConfig())
    rng = np.random.default_rng(3)
    patient = rng.standard_normal((20_000, NUM_PATIENT_NORMALS))
    first, second = (population.draw(patient, rng.standard_normal((20_000, NUM_VISIT_NORMALS))) for _ in range(2))
    np.testing.assert_array_equal(first.age_years, second.age_years)
    np.testing.assert_array_equal(first.site, second.site)
    assert 0.5 < np.corrcoef(first.mpcwp_mmhg, second.mpcwp_mmhg)[0, 1] < 0.85
    own = first.features - second.features
    # Same patient, so 30 % of the scatter's variance twice, plus the effect of another pressure.
    moved = np.array([f.slope_per_mmhg for f in FEATURES]) * (first.mpcwp_mmhg - second.mpcwp_mmhg)[:, None]
    np.testing.assert_allclose((own - moved).var(axis=0), 0.6 * np.diag(scatter_covariance(1.0)), rtol=0.05)


def test_pressure_rises_with_the_score_and_inverts() -> None:
    population = Population(SynthesisConfig())
    scores = np.linspace(-4.0, 4.0, 101)
    pressure = population.pressure_of(scores)
    assert (np.diff(pressure) > 0.0).all()
    back = brentq(lambda u: float(population.pressure_of(np.array(u))) - pressure[60], -6.0, 6.0)
    assert back == pytest.approx(scores[60], abs=1e-9)


def test_one_torso_scales_all_voltages() -> None:
    names = [feature.name for feature in FEATURES]
    covariance = scatter_covariance(1.0)
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    assert correlation[names.index("sokolow_lyon_mv"), names.index("t_v5_mv")] == pytest.approx(0.35)
    np.testing.assert_allclose(deviation, [feature.scatter for feature in FEATURES])


def test_sites_see_other_pressures_at_the_same_age() -> None:
    draws = Population(SynthesisConfig(num_sites=4, seed=5)).sample(100_000, seed=3)
    middle = (draws.age_years > 60.0) & (draws.age_years < 65.0)
    by_site = [draws.mpcwp_mmhg[middle & (draws.site == site)].mean() for site in range(4)]
    assert max(by_site) - min(by_site) > 1.5
