"""The three waves of one visit, set so that the planted features can be read off the leads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hemometric.ecg import Float64
from hemometric.synthesis.anatomy import V1, V5, Anatomy
from hemometric.synthesis.truth import Truth
from hemometric.synthesis.waves import Wave


@dataclass(frozen=True, eq=False)
class Heartbeat:
    """Waves in mV and ms. Time 0 of `p` and `qrs` is the onset of the QRS; that of `t` is the end of the T wave."""

    p: Wave
    qrs: Wave
    t: Wave


def shape_heartbeat(anatomy: Anatomy, truth: Truth) -> Heartbeat:
    """Fit a patient's waves to the features of a visit, as seen by this patient's leads when nothing is misplaced."""
    leads = anatomy.leads
    p = with_terminal(anatomy.p, leads[V1], truth.p_terminal_v1_mv)
    qrs = anatomy.qrs
    precordial = leads[[V1, V5]] @ qrs.loop(qrs.grid())
    unit_voltage = precordial[1].max() - precordial[0].min()
    t = anatomy.t
    unit_t = leads[V5] @ t.loop(t.grid())
    first, last = t.extent(leads)
    stretch = truth.qt_ms / 400.0
    return Heartbeat(
        p=p.fitted(leads, -truth.pr_ms, truth.p_ms - truth.pr_ms),
        qrs=qrs.scaled(truth.sokolow_lyon_mv / float(unit_voltage)).fitted(leads, 0.0, truth.qrs_ms),
        t=t.scaled(truth.t_v5_mv / float(unit_t.max())).fitted(leads, stretch * (first - last), 0.0),
    )


def with_terminal(p: Wave, row: Float64, depth_mv: float) -> Wave:
    """Scale the left atrium (the second Gaussian) so that the P wave in the lead `row` [3] dips to exactly -depth_mv.

    With a g1(t) the right atrium in this lead and -b g2(t) the left one, a g1 - b g2 >= -depth everywhere, with
    equality somewhere, says b = min_t (depth + a g1(t)) / g2(t).
    """
    times = p.grid()
    right, left = (np.exp(-0.5 * np.square((times - c) / s)) for c, s in zip(p.centres_ms, p.widths_ms, strict=True))
    # Where the left atrium has faded the quotient is huge, and must not overflow.
    needed = np.min((depth_mv + (row @ p.vectors_mv[0]) * right) / np.maximum(left, 1e-12))
    vectors = p.vectors_mv.copy()
    vectors[1] *= needed / -(row @ vectors[1])
    return Wave(p.centres_ms, p.widths_ms, vectors)
