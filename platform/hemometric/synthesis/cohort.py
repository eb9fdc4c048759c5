"""Patients and their visits, each a pure function of (config, patient index, visit index)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hemometric.ecg import LEADS, Float32, Float64, Int16, Recording, Sex
from hemometric.errors import UsageError
from hemometric.synthesis.anatomy import Anatomy, draw_anatomy, shifted
from hemometric.synthesis.config import SynthesisConfig
from hemometric.synthesis.features import FEATURES
from hemometric.synthesis.heartbeat import Heartbeat, shape_heartbeat
from hemometric.synthesis.noise import draw_levels, electrode_noise
from hemometric.synthesis.population import NUM_PATIENT_NORMALS, NUM_VISIT_NORMALS, Population
from hemometric.synthesis.render import breathe, dipole, electrodes, twelve_leads
from hemometric.synthesis.rhythm import draw_rhythm
from hemometric.synthesis.sites import Sites
from hemometric.synthesis.streams import stream
from hemometric.synthesis.truth import Truth


@dataclass(frozen=True, eq=False)
class Visit:
    """One ECG of one patient with what is true of both.

    Attributes
    ----------
    key : str
        Relative name of its record, such as ``records/00/P00007_V1``.
    patient_id, visit : str, int
        Visits count from 1.
    age_years, sex, site
        Of the patient; all visits fall into one year.
    mpcwp_mmhg, mpap_mmhg, co_l_min : float
        Mean pulmonary capillary wedge pressure, mean pulmonary artery pressure, cardiac output.
    truth : Truth
        What there is to measure.
    rate_hz, gain_per_mv : float
        Of the recorder; the gain is the same in all leads.
    """

    key: str
    patient_id: str
    visit: int
    age_years: float
    sex: Sex
    site: str
    mpcwp_mmhg: float
    mpap_mmhg: float
    co_l_min: float
    truth: Truth
    rate_hz: float
    gain_per_mv: float
    _config: SynthesisConfig = field(repr=False)
    _anatomy: Anatomy = field(repr=False)
    _keys: tuple[int, int] = field(repr=False)
    _site_noise: float = field(repr=False)
    _site_gain: float = field(repr=False)
    _mains_hz: float = field(repr=False)

    @cached_property
    def signal(self) -> Float32:
        """The ECG in mV, float32 [12, sample] in the order of `LEADS`; drawn when first asked for."""
        config = self._config
        rng = stream(config.seed, "recording", *self._keys)
        shift_cm = config.electrode_shift_cm * np.clip(rng.standard_normal((6, 2)), -2.5, 2.5)
        gain = float((self._site_gain * np.exp(0.015 * rng.standard_normal())) ** config.noise)
        levels = draw_levels(rng, factor=config.noise * self._site_noise, mains_hz=self._mains_hz)
        # Last, since a longer recording draws more beats: all else of the visit then stays.
        rhythm = draw_rhythm(
            rng,
            heart_rate_bpm=self.truth.heart_rate_bpm,
            duration_s=config.duration_s,
            sinus_arrhythmia=config.respiration * self._anatomy.sinus_arrhythmia,
        )
        num_samples = config.num_samples
        times_s = np.arange(num_samples) / config.rate_hz
        breath = rhythm.breath(times_s)
        mean_rr_ms = 60_000.0 / self.truth.heart_rate_bpm
        heart = dipole(
            self.heartbeat,
            rhythm,
            qt_ms=self.truth.qt_ms,
            mean_rr_ms=mean_rr_ms,
            num_samples=num_samples,
            rate_hz=config.rate_hz,
        )
        heart = breathe(heart, self._anatomy, breath, config.respiration)
        potentials = electrodes(gain * shifted(self._anatomy.leads, shift_cm), heart)
        if config.noise > 0.0:
            noise_rng = stream(config.seed, "noise", *self._keys)
            potentials += electrode_noise(noise_rng, levels, times_s, config.rate_hz, breath)
        return twelve_leads(potentials)

    @cached_property
    def counts(self) -> Int16:
        """What the recorder stores, int16 [12, sample]; III is II - I exactly, aVR, aVL, aVF to within a count."""
        limit = 32_766.0 / 2.0  # so that III and the augmented leads fit as well
        scaled = np.clip(np.rint(self.signal * np.float32(self.gain_per_mv)), -limit, limit).astype(np.int32)
        first, second = scaled[0], scaled[1]
        scaled[2] = second - first
        scaled[3] = np.rint(-0.5 * (first + second))
        scaled[4] = np.rint(first - 0.5 * second)
        scaled[5] = np.rint(second - 0.5 * first)
        counts: Int16 = scaled.astype(np.int16)
        return counts

    @property
    def heartbeat(self) -> Heartbeat:
        """The waves of this visit before breathing, misplaced electrodes and noise."""
        return shape_heartbeat(self._anatomy, self.truth)

    @property
    def leads_matrix(self) -> Float64:
        """Rows of I, II, V1..V6 over the dipole, float64 [8, 3], with every electrode in place."""
        return self._anatomy.leads

    def recording(self) -> Recording:
        """The same ECG as a `Recording` of native counts."""
        return Recording(
            key=self.key,
            leads=LEADS,
            rate_hz=self.rate_hz,
            counts=self.counts,
            gain_per_mv=np.full(len(LEADS), self.gain_per_mv),
            offset_counts=np.zeros(len(LEADS)),
            patient_id=self.patient_id,
            age_years=self.age_years,
            sex=self.sex,
            source_format="synthetic",
        )


class Cohort:
    """All patients of a config; makes any visit without the others."""

    def __init__(self, config: SynthesisConfig) -> None:
        self.config = config
        self.population = Population(config)

    def visits(self, patient: int) -> Iterator[Visit]:
        """Make the visits of one patient, counted from 0.

        Raises
        ------
        UsageError
            There is no such patient.
        """
        config, sites = self.config, self.population.sites
        if not 0 <= patient < config.num_patients:
            raise UsageError(
                f"patient index {patient} is outside 0..{config.num_patients - 1}; raise num_patients to have more"
            )
        rng = stream(config.seed, "patient", patient)
        patient_normals = rng.standard_normal((1, NUM_PATIENT_NORMALS))
        # The last draw, so that changing the range of visits changes nothing else of the patient.
        num_visits = int(rng.integers(config.visits_min, config.visits_max + 1))
        anatomy: Anatomy | None = None
        for index in range(num_visits):
            normals = stream(config.seed, "visit", patient, index).standard_normal((1, NUM_VISIT_NORMALS))
            draws = self.population.draw(patient_normals, normals)
            site, is_male, age = int(draws.site[0]), bool(draws.is_male[0]), float(draws.age_years[0])
            if anatomy is None:
                anatomy = draw_anatomy(config.seed, patient, age, is_male)
            features = dict(zip([f.name for f in FEATURES], draws.measured[0].tolist(), strict=True))
            patient_id = f"P{patient + 1:05d}"
            yield Visit(
                key=f"records/{patient // 100:02d}/{patient_id}_V{index + 1}",
                patient_id=patient_id,
                visit=index + 1,
                age_years=age,
                sex="male" if is_male else "female",
                site=Sites.name(site),
                mpcwp_mmhg=float(draws.mpcwp_mmhg[0]),
                mpap_mmhg=float(draws.mpap_mmhg[0]),
                co_l_min=float(draws.co_l_min[0]),
                truth=Truth(pr_ms=float(draws.pr_ms[0]), qt_ms=float(draws.qt_ms[0]), **features),
                rate_hz=config.rate_hz,
                gain_per_mv=float(sites.gain_per_mv[site]),
                _config=config,
                _anatomy=anatomy,
                _keys=(patient, index),
                _site_noise=float(sites.noise[site]),
                _site_gain=float(sites.gain_error[site]),
                _mains_hz=float(sites.mains_hz[site]),
            )


def generate(config: SynthesisConfig, patients: Iterable[int] | None = None) -> Iterator[Visit]:
    """Make visits one after the other, in constant memory.

    Parameters
    ----------
    config : SynthesisConfig
        The cohort.
    patients : iterable of int, optional
        Indices from 0; all of them by default. Any part equals the same part of the whole, so parts may be made in
        parallel.

    Yields
    ------
    Visit
        Its signal is drawn when first asked for: walking through the labels alone is cheap.
    """
    cohort = Cohort(config)
    for patient in range(config.num_patients) if patients is None else patients:
        yield from cohort.visits(patient)
