"""Batches in which every class of the label, or every range of it, is there equally often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from hemometric.batches.groups import Groups
from hemometric.batches.hashes import hashes
from hemometric.batches.order import Positions
from hemometric.batches.roster import Roster
from hemometric.config import Config
from hemometric.errors import UsageError


@dataclass(frozen=True, eq=False)
class LabelOrder:
    """Draw n, counted over all batches, is of class ``n mod C``; each class goes through its recordings in turn.

    So a batch holds each of C classes ``batch_size // C`` times, or once more, and C batches each equally often. A
    class's recordings come once, in a seeded order, before any comes again: in one batch too, where they suffice.

    Attributes
    ----------
    classes : Groups
    batch_size : int
    seed : int
    left_out : mapping of int
    """

    classes: Groups
    batch_size: int
    seed: int
    left_out: Mapping[str, int]

    def batch(self, step: int) -> Positions:
        """Give the recordings of one batch, int64 [batch_size], the same for every world."""
        places = np.arange(self.batch_size)
        turns, classes = np.divmod(step * self.batch_size + places, len(self.classes))
        drawn = self.classes.take(classes, turns, self.seed)
        # Ranks take every so manieth: unmixed, one of two ranks could see only one of two classes.
        return drawn[np.argsort(hashes(places, self.seed, step), kind="stable")]

    def epoch(self, step: int) -> int:
        """Give how often as many draws as there are labelled recordings lie before a batch."""
        return step * self.batch_size // len(self.classes.recordings)

    def num_steps(self, num_epochs: int) -> int:
        """Give the steps that draw so many times as many as there are labelled recordings."""
        return -(-num_epochs * len(self.classes.recordings) // self.batch_size)


class LabelBatches(Config):
    """Each class of the task's label has the same share of each batch, however rare it is; for supervised runs.

    Recordings do not come equally often: an epoch is as many draws as there are labelled recordings, in which those
    of a rare class come several times and those of a common one not always once. Without a label they never come.

    Attributes
    ----------
    edges : tuple of float
        Cut the label into classes, in its unit: a value equal to an edge lies below it, as below the threshold of a
        task.
    num_quantiles : int or None
        Cut it into so many classes of about equal size instead. With neither, each value is a class.
    """

    kind: Literal["label_balanced"] = "label_balanced"
    edges: tuple[float, ...] = ()
    num_quantiles: int | None = Field(default=None, ge=2)
    num_neighbours: ClassVar[int] = 0

    @model_validator(mode="after")
    def _one_cut(self) -> Self:
        if self.edges and self.num_quantiles is not None:
            raise ValueError("edges and num_quantiles both cut the label; leave one out")
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError("edges do not ascend; sort them, each once")
        return self

    def build(self, roster: Roster, batch_size: int, seed: int) -> LabelOrder:
        """Give the order.

        Raises
        ------
        UsageError
            There are no labels, fewer labelled recordings than draws in a batch, only one class, a class without
            recordings, or more classes than draws.
        """
        if roster.targets is None:
            raise UsageError("batches of kind label_balanced need a label, and pretraining has none; take another kind")
        labelled = np.isfinite(roster.targets)
        codes = np.full(len(roster), -1)
        codes[labelled] = self._classes(roster.targets[labelled])
        classes = Groups.of(codes)
        num_labelled = len(classes.recordings)
        if num_labelled < batch_size:
            raise UsageError(f"batch_size {batch_size}: only {num_labelled} recordings carry the label; lower it")
        if len(classes) < 2:
            raise UsageError(
                "batches of kind label_balanced need two classes, and all labels lie in one; "
                "set batches.edges, or take another kind"
            )
        if len(classes) > batch_size:
            raise UsageError(
                f"batch_size {batch_size} is too small to hold each of the label's {len(classes)} classes; set "
                "batches.edges or fewer batches.num_quantiles, or raise batch_size"
            )
        left_out = len(roster) - num_labelled
        return LabelOrder(classes, batch_size, seed, {"no_label": left_out} if left_out else {})

    def _classes(self, values: npt.NDArray[np.float32]) -> Positions:
        """Give the class of each value, int64 [value].

        Raises
        ------
        UsageError
            A class that was asked for is empty.
        """
        if not self.edges and self.num_quantiles is None:
            return np.unique(values, return_inverse=True)[1]
        field, edges = "edges", np.asarray(self.edges, dtype=np.float32)
        if self.num_quantiles is not None and len(values):
            field, shares = "num_quantiles", np.arange(1, self.num_quantiles) / self.num_quantiles
            edges = np.quantile(values, shares, method="inverted_cdf")
        classes = np.digitize(values, edges, right=True).astype(np.int64)
        num_wanted, num_found = len(edges) + 1, len(np.unique(classes))
        if len(values) and num_found < num_wanted:
            raise UsageError(
                f"batches.{field}: of its {num_wanted} classes, {num_wanted - num_found} hold no recording; take fewer"
            )
        return classes
