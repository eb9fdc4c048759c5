"""What is known of a person without any ECG: the control that every system must beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemometric.ecg import Float64


@dataclass(frozen=True)
class AgeSexFeatures:
    """Age and sex as numbers; whatever is missing is said by an indicator, and filled from the training patients.

    Attributes
    ----------
    mean_age_years : float
        Stands for a missing age: the mean of the known ages of the training split.
    female_share : float
        Stands for a missing sex: the share of women among the known of the training split.
    """

    mean_age_years: float
    female_share: float

    @classmethod
    def fit(cls, age_years: npt.ArrayLike, sex: Sequence[str | None] | npt.NDArray[np.object_]) -> AgeSexFeatures:
        """Take the means of the training split only; 0 and one half if nobody's age or sex is known."""
        age, female = _columns(age_years, sex)
        known_age, known_sex = age[~np.isnan(age)], female[~np.isnan(female)]
        return cls(
            float(known_age.mean()) if len(known_age) else 0.0,
            float(known_sex.mean()) if len(known_sex) else 0.5,
        )

    def __call__(self, age_years: npt.ArrayLike, sex: Sequence[str | None] | npt.NDArray[np.object_]) -> Float64:
        """Features float64 [n, 4]: age, age is missing, female, sex is missing.

        Parameters
        ----------
        age_years : float [n]
            NaN where unknown.
        sex : [n]
            ``female``, ``male``; anything else is unknown.

        Raises
        ------
        ValueError
            The lengths differ.
        """
        age, female = _columns(age_years, sex)
        no_age, no_sex = np.isnan(age), np.isnan(female)
        return np.stack(
            [np.where(no_age, self.mean_age_years, age), no_age, np.where(no_sex, self.female_share, female), no_sex],
            axis=1,
        )


def _columns(age_years: npt.ArrayLike, sex: Sequence[str | None] | npt.NDArray[np.object_]) -> tuple[Float64, Float64]:
    age = np.asarray(age_years, dtype=np.float64)
    female = np.array([{"female": 1.0, "male": 0.0}.get(str(value), np.nan) for value in sex], dtype=np.float64)
    if age.shape != female.shape:
        raise ValueError(f"age_years has shape {age.shape} and sex {female.shape}; both must be [n]")
    return age, female
