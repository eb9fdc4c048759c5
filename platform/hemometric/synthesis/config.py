"""What a synthetic cohort is made of: its size, its recording, its pressures and how loud each nuisance is."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from hemometric.config import Config
from hemometric.synthesis.truncated import solve_parent


class PressureConfig(Config):
    """Marginal distribution of the planted mPCWP over visits: a normal cut to an interval.

    `mean_mmhg` and `sd_mmhg` are those of the population after the cut. The defaults are the figures published for
    8,172 catheterised patients (Jeong, Stultz, Ghassemi, MLHC 2023).
    """

    mean_mmhg: float = Field(default=15.7, ge=1.0, le=50.0)
    sd_mmhg: float = Field(default=8.1, ge=0.5, le=20.0)
    low_mmhg: float = Field(default=2.0, ge=-5.0, le=20.0)
    high_mmhg: float = Field(default=45.0, ge=20.0, le=60.0)

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        solve_parent(self.mean_mmhg, self.sd_mmhg, self.low_mmhg, self.high_mmhg)
        return self


class SynthesisConfig(Config):
    """A synthetic cohort; two equal configs give the same bytes.

    Attributes
    ----------
    num_patients, visits_min, visits_max : int
        Patients, and the range from which each patient's number of visits is drawn evenly.
    num_sites : int
        Hospitals; each has its own share of patients, case mix, heart rates, noise, mains frequency and gain.
    rate_hz, duration_s : float
        Of every recording. The same visit at another rate has the same anatomy, labels and rhythm.
    seed : int
        A visit is a function of (seed, patient index, visit index) and of the fields below only.
    pressure : PressureConfig
        The planted mean pulmonary capillary wedge pressure.
    confounding : float
        How strongly age and site go with pressure, and sites with heart rate; 0 is a randomised trial.
    scatter : float
        Multiplies the biological scatter of the features: larger worlds are harder (see `best_reachable`).
    noise : float
        Multiplies the recording noise and the amplifiers' gain errors; 0 removes them.
    respiration : float
        Multiplies what breathing does to axis, amplitude and rate; 0 removes it.
    electrode_shift_cm : float
        Standard deviation of the misplacement of each chest electrode, per direction and visit.
    """

    num_patients: int = Field(default=200, ge=1, le=100_000_000)
    visits_min: int = Field(default=1, ge=1, le=100)
    visits_max: int = Field(default=3, ge=1, le=100)
    num_sites: int = Field(default=3, ge=1, le=100)
    rate_hz: float = Field(default=500.0, ge=50.0, le=4000.0)
    duration_s: float = Field(default=10.0, ge=1.0, le=3600.0)
    seed: int = Field(default=0, ge=0, lt=2**63)
    pressure: PressureConfig = PressureConfig()
    confounding: float = Field(default=1.0, ge=0.0, le=1.0)
    scatter: float = Field(default=1.0, ge=0.05, le=10.0)
    noise: float = Field(default=1.0, ge=0.0, le=10.0)
    respiration: float = Field(default=1.0, ge=0.0, le=3.0)
    electrode_shift_cm: float = Field(default=0.8, ge=0.0, le=4.0)

    @model_validator(mode="after")
    def _visits_in_order(self) -> Self:
        if self.visits_max < self.visits_min:
            raise ValueError(
                f"visits_max is {self.visits_max}, below visits_min {self.visits_min}; make it at least as large"
            )
        return self

    @property
    def num_samples(self) -> int:
        """Points in time per lead."""
        return round(self.rate_hz * self.duration_s)
