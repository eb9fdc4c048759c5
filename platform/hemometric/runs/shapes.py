"""What the small JSON files of a run hold: checked key by key when they are read, and nothing else is taken."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hemometric.distances import DistanceConfig
from hemometric.mining.compared import ComparedConfig
from hemometric.waveform import Preparation

Count = Annotated[int, Field(ge=0, lt=2**63)]
Value = int | float | str | bool


class Shape(BaseModel):
    """Base of what is read back: closed, and nothing is converted in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Validation(Shape):
    """One validation; what else was measured stands beside the loss, by name. A diverged run's is not finite."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=True)
    __pydantic_extra__: dict[str, float] = Field(init=False)

    step: Count
    validation_loss: float


class Outcome(Shape):
    """``outcome.json``.

    Attributes
    ----------
    losses : list
        One a step; None where it was not finite.
    best_step, best_validation_loss : int and float, or None
        None without a finite validation.
    metrics : mapping
        Of the last report.
    """

    model_config = ConfigDict(allow_inf_nan=True)

    losses: list[float | None]
    validations: list[Validation]
    num_skipped: Count
    best_step: Count | None
    best_validation_loss: float | None
    metrics: dict[str, float]

    @model_validator(mode="after")
    def _best_is_whole(self) -> Self:
        if (self.best_step is None) != (self.best_validation_loss is None):
            raise ValueError("best_step and best_validation_loss are there together or not at all")
        return self


class Stop(Shape):
    """Where early stopping ended a trial; None where it is not known."""

    step: Count | None


class TrialRecord(Shape):
    """``trials/<trial>.json``: what is tried, written as the trial begins, and why it was cut short."""

    number: Count
    values: dict[str, Value]
    stopped: Stop | None = None
    failed: str | None = None


class TrialRow(Shape):
    """One trial in ``trials.json``."""

    trial: str
    values: dict[str, Value]
    finished: bool
    failed: str | None
    validation_loss: float | None
    step: Count | None


class TrialsTable(Shape):
    """``trials.json``: how the trials of a finished search ended."""

    trials: list[TrialRow]
    best: str
    num_trials: Count

    @model_validator(mode="after")
    def _best_finished(self) -> Self:
        if not any(row.trial == self.best and row.finished and row.validation_loss is not None for row in self.trials):
            raise ValueError("best names no finished trial")
        return self


class ProgressState(Shape):
    """``progress.json``: the last state of a run, for whoever watches it."""

    model_config = ConfigDict(allow_inf_nan=True)

    step: Count
    num_steps: Count
    loss: float | None
    ecg_per_s: float
    time_left_s: float
    parts: dict[str, float] = {}


class Letter(Shape):
    """``failed.json``: why there is no use in starting a run again.

    Attributes
    ----------
    kind : str
        Name of a class in `hemometric.errors`.
    """

    kind: str
    sentence: str


class GraphCandidates(Shape):
    """Among whom the neighbours of a graph were sought.

    Attributes
    ----------
    num : int or None
        Candidates of each recording; None where everyone was one.
    """

    kind: Literal["exact", "coarse", "embeddings"]
    num: Count | None

    @model_validator(mode="after")
    def _kind_has_num(self) -> Self:
        if (self.kind == "exact") != (self.num is None):
            raise ValueError("num is there unless the search was exact")
        return self


class GraphSummary(Shape):
    """``_summary.json`` of a neighbour graph.

    Attributes
    ----------
    hub_share : float
        Share of all neighbours that the most used recordings are; see `NeighbourUses`.
    num_unused : int
        Recordings that are nobody's neighbour.
    preparation, compared, distance : config
        What the distances are of.
    """

    identity: str
    params_hash: str
    manifest_hash: str
    num_recordings: Count
    num_rows: Count
    left_out: dict[str, Count]
    k: Count
    candidates: GraphCandidates
    hub_share: Annotated[float, Field(ge=0, le=1)]
    num_unused: Count
    preparation: Preparation
    compared: ComparedConfig
    distance: DistanceConfig

    @property
    def num_others(self) -> int:
        """How many recordings might have been a recording's neighbours."""
        return max(0, self.num_recordings - 1)

    @property
    def num_candidates(self) -> int | None:
        """Candidates of each recording where not all others were some; None where they were."""
        num = self.candidates.num
        return None if num is None or num >= self.num_others else num
