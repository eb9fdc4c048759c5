"""The measurable features through which a planted pressure shows in the ECG: effects, confounders, scatter.

Every effect is a straight line in the feature's own scale (the logarithm, for what must stay positive):

    f = base + slope (mPCWP - 15.7) + age_slope (age - 60)/10 + male [sex = male] + site + scatter e,   e ~ N(0, C)

Directions are documented physiology; slopes and scatters are chosen, so that no single feature correlates with pressure
by more than about 0.5 and all of them together leave the error that `best_reachable` prints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hemometric.ecg import Float64

REFERENCE_MMHG = 15.7
"""The pressure at which a feature has its base value."""


@dataclass(frozen=True)
class Feature:
    """One measurable quantity of an ECG and how pressure, age and sex move it.

    Attributes
    ----------
    name : str
        Field of the truth that holds it, with its unit.
    base : float
        Value at 15.7 mmHg for a woman of 60, in the unit of `name`.
    slope_per_mmhg, age_per_decade, male, scatter : float
        In the unit of `name`, or in natural logarithms where `is_log`.
    is_log : bool
        Whether effects multiply.
    """

    name: str
    base: float
    slope_per_mmhg: float
    age_per_decade: float
    male: float
    scatter: float
    is_log: bool = True


FEATURES = (
    # P duration: a stretched left atrium takes longer to activate; +0.5 % a mmHg (chosen), 12 ms between patients.
    Feature("p_ms", 104.0, 0.0052, 0.012, 0.030, 0.105),
    # Depth of the P terminal in V1: the left atrium's posterior part. Morris et al., Circulation 1964;29:242 (valve
    # disease); Heikkilä and Luomanmäki, Br Heart J 1970;32:510 (left heart failure after infarction). Slope chosen.
    Feature("p_terminal_v1_mv", 0.046, 0.032, 0.030, 0.000, 0.42),
    # QRS duration: wider in failing, dilated ventricles (review: Kashani and Barold, JACC 2005;46:2183). Slope chosen.
    Feature("qrs_ms", 90.0, 0.0047, 0.004, 0.065, 0.105),
    # T in V5: flattened, at last inverted, in a loaded left ventricle. Slope chosen; men have taller T waves.
    Feature("t_v5_mv", 0.33, -0.0066, -0.012, 0.050, 0.125, is_log=False),
    # Voltage S(V1) + R(V5), Sokolow and Lyon's sum: congestion attenuates it (Madias, Europace 2009;11:7, a
    # hypothesis). Slope chosen; women show less.
    Feature("sokolow_lyon_mv", 2.15, -0.0075, -0.015, 0.120, 0.25),
    # Heart rate: sympathetic drive keeps the output up when the stroke volume falls. Slope chosen.
    Feature("heart_rate_bpm", 72.0, 0.0066, -0.004, -0.030, 0.165),
)
"""In the order of every [.., feature] array."""

_CORRELATIONS = {
    # One torso conducts all waves: voltages rise and fall together. Large atria conduct slowly, large hearts too.
    ("sokolow_lyon_mv", "t_v5_mv"): 0.35,
    ("sokolow_lyon_mv", "p_terminal_v1_mv"): 0.20,
    ("t_v5_mv", "p_terminal_v1_mv"): 0.10,
    ("p_ms", "p_terminal_v1_mv"): 0.20,
    ("p_ms", "qrs_ms"): 0.15,
}

PATIENT_SHARE = 0.7
"""Share of the scatter's variance that is the patient's own and stays from visit to visit."""


def scatter_covariance(scatter: float) -> Float64:
    """Covariance [feature, feature] of the biological scatter on the features' own scales."""
    names = [feature.name for feature in FEATURES]
    correlation = np.eye(len(names))
    for (first, second), value in _CORRELATIONS.items():
        i, j = names.index(first), names.index(second)
        correlation[i, j] = correlation[j, i] = value
    deviation = scatter * np.array([feature.scatter for feature in FEATURES])
    return correlation * np.outer(deviation, deviation)


def expected(mpcwp_mmhg: Float64, age_years: Float64, is_male: Float64, site_log_rate: Float64) -> Float64:
    """Expected features on their own scales, float64 [.., feature], for arguments that broadcast to [..]."""
    columns = []
    for feature in FEATURES:
        base = np.log(feature.base) if feature.is_log else feature.base
        value = (
            base
            + feature.slope_per_mmhg * (np.asarray(mpcwp_mmhg) - REFERENCE_MMHG)
            + feature.age_per_decade * (np.asarray(age_years) - 60.0) / 10.0
            + feature.male * np.asarray(is_male)
        )
        columns.append(value + site_log_rate if feature.name == "heart_rate_bpm" else value + 0.0 * site_log_rate)
    return np.stack(columns, axis=-1)


def in_units(scaled: Float64) -> Float64:
    """From the features' own scales to the units of their names, [.., feature]."""
    is_log = np.array([feature.is_log for feature in FEATURES])
    return np.where(is_log, np.exp(np.where(is_log, scaled, 0.0)), scaled)
