"""Lead names, the order of the twelve leads, and the four identities that tie the limb leads together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hemometric.ecg import LEADS, Float32, canonical_lead

# Each limb lead that follows from I and II, as its weights on them (Einthoven 1912; Goldberger 1942).
LIMB_LEADS = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}
"""Weights of (I, II) in III, aVR, aVL and aVF."""


def standard_leads(signal: Float32, leads: Sequence[str]) -> tuple[Float32, npt.NDArray[np.bool_]]:
    """Put leads into the order of `LEADS`, and derive those limb leads that are absent.

    Any two of I, II, III give the third (III = II - I); I and II give aVR, aVL and aVF. A lead that is there is
    never replaced by a derived one.

    Parameters
    ----------
    signal : float32 [lead, sample]
        Millivolts.
    leads : sequence of str
        The name of each row; rows with names of no standard lead are left out.

    Returns
    -------
    signal12 : float32 [12, sample]
        NaN rows where a lead is absent.
    present : bool [12]
        Whether the row holds a lead, measured or derived.

    Raises
    ------
    ValueError
        The rows and the names differ in number, or a lead stands twice.
    """
    if signal.ndim != 2 or signal.shape[0] != len(leads):
        raise ValueError(f"signal has shape {signal.shape}; expected [lead, sample] with {len(leads)} leads")
    signal12 = np.full((len(LEADS), signal.shape[1]), np.nan, dtype=np.float32)
    present = np.zeros(len(LEADS), dtype=bool)
    row = {lead: index for index, lead in enumerate(LEADS)}
    for values, name in zip(signal, leads, strict=True):
        lead = canonical_lead(name)
        if lead is None:
            continue
        if present[row[lead]]:
            raise ValueError(f"lead {lead} stands twice")
        signal12[row[lead]] = values
        present[row[lead]] = True

    # The order matters: I and II first, since the others follow from them.
    sums = {"I": (("II", 1.0), ("III", -1.0)), "II": (("I", 1.0), ("III", 1.0))}
    sums |= {lead: (("I", on_i), ("II", on_ii)) for lead, (on_i, on_ii) in LIMB_LEADS.items()}
    for lead, ((first, by_first), (second, by_second)) in sums.items():
        if not present[row[lead]] and present[row[first]] and present[row[second]]:
            signal12[row[lead]] = by_first * signal12[row[first]] + by_second * signal12[row[second]]
            present[row[lead]] = True
    return signal12, present


def limb_lead_residuals(signal12: Float32) -> dict[str, float]:
    """Measure how far each limb lead is from what I and II say it must be.

    Each identity is measured by itself: aVR + aVL + aVF = 0 alone would miss aVR and aVL changing places. The
    measure is the 95th percentile of the absolute difference after its median is removed, so that neither a
    constant electrode offset nor a few damaged samples count, while a QRS (about a tenth of the time) does.

    Parameters
    ----------
    signal12 : float32 [12, sample]
        Millivolts in the order of `LEADS`; NaN where there is no sample.

    Returns
    -------
    dict of str to float
        Millivolts for each of III, aVR, aVL, aVF. A lead is left out where no sample can be compared.
    """
    residuals: dict[str, float] = {}
    for lead, (on_i, on_ii) in LIMB_LEADS.items():
        difference = signal12[LEADS.index(lead)] - (on_i * signal12[0] + on_ii * signal12[1])
        difference = difference[np.isfinite(difference)]
        if difference.size:
            residuals[lead] = float(np.percentile(np.abs(difference - np.median(difference)), 95))
    return residuals
