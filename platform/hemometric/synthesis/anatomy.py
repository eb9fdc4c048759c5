"""One person's chest: the lead matrix and the shapes of the waves, fixed from visit to visit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hemometric.ecg import Float64
from hemometric.synthesis.streams import stream
from hemometric.synthesis.waves import Wave

DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)
"""Rows I, II, V1..V6 over X (left), Y (foot), Z (back): Dower, Machado, Osborne, Clin Cardiol 1980;3:87."""

V1, V5 = 2, 6
_BETWEEN_ELECTRODES_CM = 4.5
_DOWNWARDS_PER_CM = np.array([0.0, 0.07, 0.0])
"""A chest electrode that sits lower sees more of the vector to the foot (chosen)."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What stays with a patient.

    Attributes
    ----------
    leads : float64 [8, 3]
        Rows of I, II, V1..V6; the other four leads follow from I and II.
    p, qrs, t : Wave
        Shapes in arbitrary time and size; a visit's features set both. `p` holds the right and the left atrium.
    breathing_axis : float64 [3]
        Unit vector about which the heart turns when breathing.
    breathing_turn : float
        Radians to either side.
    breathing_gain : float
        Relative change of all amplitudes to either side.
    sinus_arrhythmia : float
        Relative change of the RR interval to either side.
    """

    leads: Float64
    p: Wave
    qrs: Wave
    t: Wave
    breathing_axis: Float64
    breathing_turn: float
    breathing_gain: float
    sinus_arrhythmia: float


def draw_anatomy(seed: int, patient: int, age_years: float, is_male: bool) -> Anatomy:
    """Draw a patient's anatomy. Nothing in it depends on the pressure other than through age."""
    rng = stream(seed, "anatomy", patient)
    leads = DOWER * (1.0 + 0.08 * rng.standard_normal((8, 1))) + 0.03 * rng.standard_normal((8, 3))
    # The frontal axis turns to the left with age and in women lies a little more downwards.
    frontal = np.deg2rad(-5.0 - 5.0 * (age_years - 60.0) / 10.0 + 3.0 * (not is_male) + 13.0 * _cut(rng))
    horizontal = np.deg2rad(11.0 * _cut(rng))
    turn = _turn(frontal, horizontal)
    return Anatomy(
        leads=leads,
        p=_p_wave(rng, _turn(0.3 * frontal, 0.3 * horizontal), leads[V1]),
        qrs=_qrs_wave(rng, turn),
        t=_t_wave(rng, _turn(0.45 * frontal, 0.4 * horizontal), is_male),
        breathing_axis=_unit(np.array([0.3, 0.2, 1.0]) + 0.3 * rng.standard_normal(3)),
        breathing_turn=float(np.deg2rad(3.0) * np.exp(0.35 * _cut(rng))),
        breathing_gain=float(0.03 * np.exp(0.35 * _cut(rng))),
        sinus_arrhythmia=float(0.022 * np.exp(-0.20 * (age_years - 60.0) / 10.0 + 0.45 * _cut(rng))),
    )


def shifted(leads: Float64, shift_cm: Float64) -> Float64:
    """Lead matrix [8, 3] with the chest electrodes moved by `shift_cm` [6, 2] (towards V6, downwards).

    To first order along the row of electrodes, whose neighbours give the gradient.
    """
    moved = leads.copy()
    gradient = np.gradient(leads[2:], _BETWEEN_ELECTRODES_CM, axis=0)
    moved[2:] += shift_cm[:, :1] * gradient + shift_cm[:, 1:] * _DOWNWARDS_PER_CM
    return moved


def _p_wave(rng: np.random.Generator, turn: Float64, row_v1: Float64) -> Wave:
    right = np.array([0.042, 0.075, -0.050]) * np.exp(0.22 * _cut(rng)) + 0.008 * _cuts(rng, 3)
    left = np.array([0.090, 0.058, 0.042]) + 0.008 * _cuts(rng, 3)
    gap = 35.0 * np.exp(0.06 * _cut(rng))
    widths = np.array([16.5, 17.0]) * np.exp(0.05 * _cuts(rng, 2))
    right, left = turn @ right, turn @ left
    # V1 must see the right atrium come and the left one go, else its terminal force would not be the left atrium's.
    right += row_v1 * max(0.0, 0.012 - float(row_v1 @ right)) / float(row_v1 @ row_v1)
    left -= row_v1 * max(0.0, 0.030 + float(row_v1 @ left)) / float(row_v1 @ row_v1)
    return Wave(np.array([0.0, gap]), widths, np.stack([right, left]))


def _qrs_wave(rng: np.random.Generator, turn: Float64) -> Wave:
    # Septum (right, front), apex (left, foot), free wall, posterior wall (left, back), base (back, head).
    vectors = np.array(
        [
            [-0.15, -0.06, -0.17],
            [0.55, 0.40, -0.28],
            [0.98, 0.62, 0.45],
            [0.30, 0.25, 0.62],
            [-0.12, -0.10, 0.26],
        ]
    )
    vectors = vectors * np.exp(0.16 * _cuts(rng, (5, 1))) + 0.05 * _cuts(rng, (5, 3))
    centres = np.array([14.0, 30.0, 43.0, 55.0, 70.0]) + 1.0 * _cuts(rng, 5)
    widths = np.array([6.0, 6.5, 6.5, 7.0, 8.5]) * np.exp(0.06 * _cuts(rng, 5))
    return Wave(centres, widths, vectors @ turn.T)


def _t_wave(rng: np.random.Generator, turn: Float64, is_male: bool) -> Wave:
    direction = _unit(np.array([0.78, 0.38, -0.55 if is_male else -0.42]) + 0.09 * _cuts(rng, 3))
    # The shoulder, the slow rise and the faster fall; the loop is narrow, so its parts nearly share one direction.
    sizes = np.array([0.10, 0.55, 0.62]) * np.exp(0.12 * _cuts(rng, 3))
    vectors = sizes[:, None] * (direction + np.array([[0.02], [0.03], [-0.03]]) * _cuts(rng, 3))
    centres = np.array([-125.0, -38.0, 0.0]) + 3.0 * _cuts(rng, 3)
    widths = np.array([45.0, 42.0, 27.0]) * np.exp(0.06 * _cuts(rng, 3))
    return Wave(centres, widths, vectors @ turn.T)


def _cuts(rng: np.random.Generator, shape: int | tuple[int, ...]) -> Float64:
    """Standard normals held within 2.2, so that no chest is a monster."""
    return np.clip(rng.standard_normal(shape), -2.2, 2.2)


def _cut(rng: np.random.Generator) -> float:
    return float(_cuts(rng, 1)[0])


def _unit(vector: Float64) -> Float64:
    return vector / np.linalg.norm(vector)


def _turn(frontal: float, horizontal: float) -> Float64:
    """Rotation in the frontal plane (left towards foot), then in the horizontal plane (left towards back)."""
    c, s = np.cos(frontal), np.sin(frontal)
    about_z = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    c, s = np.cos(horizontal), np.sin(horizontal)
    about_y = np.array([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]])
    both: Float64 = about_y @ about_z
    return both
