"""What is measured of each recording, as a row of floats."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Quality:
    """What was measured of a recording, each a float: a row of a quality table. NaN is "not measured".

    All but the first four are of the part between the padding, and of the leads that are there, measured or derived.

    Attributes
    ----------
    duration_s, padding_before_s, padding_after_s : float
        Of the whole recording; what stands still at its ends, from the first sample on.
    num_leads : float
        Leads in the file that hold a sample.
    num_derived_leads, num_flat_leads, num_saturated_leads : float
        Of twelve. Flat leads are left out of the measures of noise, spikes and swaps.
    nan_share : float
        Share of samples without a value.
    amplitude_min_mv, amplitude_median_mv, amplitude_max_mv : float
        Peak-to-peak over leads; see `measures.amplitudes`.
    limb_residual_mv : float
        The largest of `limb_lead_residuals`; NaN with fewer than three limb leads in the file.
    mains_hum_mv, wander_mv, noise_uv : float
        Of the worst lead; see the functions of these names.
    spikes_per_10s, pacing_spikes_per_10s : float
        Instants with a spike: artefacts, and those of a pacemaker. NaN below 200 Hz.
    reversal_evidence : float
        Of the most likely swap of electrodes; NaN unless all independent leads move, and with a hum or a large
        amplitude that is flagged.
    qrs_s : float
        How long the steep part of a QRS lasts, about a third of what is called its width; see `Pulse.width_s`.
    beat_s : float
        Median time from one heartbeat to the next; NaN with fewer than two. See `Pulse.beat_s`.
    regularity : float
        1 if all beats are alike and come in time; see `Pulse.regularity`.
    """

    duration_s: float
    padding_before_s: float
    padding_after_s: float
    num_leads: float
    num_derived_leads: float
    num_flat_leads: float
    num_saturated_leads: float
    nan_share: float
    amplitude_min_mv: float
    amplitude_median_mv: float
    amplitude_max_mv: float
    limb_residual_mv: float
    mains_hum_mv: float
    wander_mv: float
    noise_uv: float
    spikes_per_10s: float
    pacing_spikes_per_10s: float
    reversal_evidence: float
    qrs_s: float
    beat_s: float
    regularity: float


QUALITY_COLUMNS = tuple(field.name for field in fields(Quality))
"""Names of the columns of a quality table, in order; all are floats."""
