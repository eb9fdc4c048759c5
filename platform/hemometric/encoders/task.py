"""What a head estimates, and the way between its outputs and the label's own unit."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from torch import Tensor

from hemometric.config import Config
from hemometric.ecg import Float32


class Task(Config):
    """The label that a head was trained on.

    Attributes
    ----------
    kind : {"regression", "threshold"}
        Estimate the label in its unit, or the probability that it lies above `threshold`.
    label : str
        Name of the label, such as ``mpcwp_mmhg``.
    unit : str
        Unit of the label, of `threshold` and of the scale, such as ``mmHg``.
    threshold : float or None
        For ``threshold`` alone: a label above it, and not on it, is a 1.
    scale_mean, scale_sd : float
        For ``regression``: mean and standard deviation of the training labels. Outputs are standardised by them.
    """

    kind: Literal["regression", "threshold"]
    label: str = Field(min_length=1)
    unit: str = ""
    threshold: float | None = None
    scale_mean: float = 0.0
    scale_sd: float = Field(default=1.0, gt=0.0)

    @model_validator(mode="after")
    def _threshold_where_it_is_used(self) -> Self:
        if self.kind == "threshold" and self.threshold is None:
            raise ValueError("a task of kind threshold needs the field threshold")
        if self.kind == "regression" and self.threshold is not None:
            raise ValueError("threshold is used by the kind threshold only; take it away, or change the kind")
        return self

    def targets(self, labels: npt.NDArray[np.floating]) -> Float32:
        """Turn labels [n] in `unit` into what outputs are compared with: standardised, or 0 and 1; NaN stays NaN."""
        values = np.asarray(labels, dtype=np.float64)
        if self.threshold is None:
            return ((values - self.scale_mean) / self.scale_sd).astype(np.float32)
        return np.where(np.isnan(values), np.nan, values > self.threshold).astype(np.float32)

    def estimates(self, outputs: Tensor) -> Tensor:
        """Turn outputs [n] of a head into labels in `unit`, or into probabilities."""
        if self.kind == "threshold":
            return outputs.sigmoid()
        return outputs * self.scale_sd + self.scale_mean

    @property
    def estimate_unit(self) -> str:
        """Name the unit of an estimate: the label's own, or ``probability``."""
        return self.unit if self.threshold is None else "probability"

    @property
    def meaning(self) -> str:
        """Say in a few words what an estimate is, such as ``mpcwp_mmhg in mmHg``."""
        unit = f" {self.unit}" if self.unit else ""
        if self.threshold is None:
            return f"{self.label}{' in' if unit else ''}{unit}"
        return f"probability of {self.label} > {self.threshold:g}{unit}"
