"""Objectives of pretraining by name, their weighted sums, and how those of one view see several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hemometric.config import Config
from hemometric.errors import UsageError
from hemometric.objectives.angular import AngularObjective
from hemometric.objectives.embeddings import check_views
from hemometric.objectives.global_batch import GlobalBatch
from hemometric.objectives.koleo import KoLeoObjective
from hemometric.objectives.landmark import LandmarkObjective
from hemometric.objectives.margin import MarginObjective
from hemometric.objectives.multi_similarity import MultiSimilarityObjective
from hemometric.objectives.nt_xent import NtXentObjective
from hemometric.objectives.relative import RelativeObjective
from hemometric.objectives.triplet import TripletObjective

OneObjective = Annotated[
    TripletObjective
    | MarginObjective
    | AngularObjective
    | MultiSimilarityObjective
    | NtXentObjective
    | RelativeObjective
    | LandmarkObjective
    | KoLeoObjective,
    Field(discriminator="kind"),
]


class PretrainLoss(nn.Module):
    """A weighted sum of objectives over all views: ``forward(z [view, B, dim], batch) -> (loss, parts)``.

    An objective that compares views sees all of them; one that knows recordings only is averaged over the views.
    """

    def __init__(self, terms: Sequence[tuple[str, float, bool, nn.Module]]) -> None:
        super().__init__()
        self.names = [name for name, *_ in terms]
        self.weights = [weight for _, weight, *_ in terms]
        self.across = [across for _, _, across, _ in terms]
        self.terms = nn.ModuleList(module for *_, module in terms)

    def forward(self, z: Tensor, batch: GlobalBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of the global batch.

        Parameters
        ----------
        z : float [view, B, dim]
            Embeddings in the global order.
        batch : GlobalBatch

        Returns
        -------
        loss : float []
        parts : dict of float []
            Those of the objective; of several, each one's loss by its name, and its parts as ``<name>_<part>``.

        Raises
        ------
        ValueError
            The shapes do not fit.
        UsageError
            An objective needs mined triplets and there are none.
        """
        check_views(z, len(batch))
        total = 0.0 * z.sum()
        parts: dict[str, Tensor] = {}
        for name, weight, across, term in zip(self.names, self.weights, self.across, self.terms, strict=True):
            loss, told = term(z, batch) if across else _of_each_view(term, z, batch)
            total = total + weight * loss
            if len(self.names) == 1:
                return total, told
            parts |= {name: loss.detach()} | {f"{name}_{part}": value for part, value in told.items()}
        return total, parts


def _of_each_view(term: nn.Module, z: Tensor, batch: GlobalBatch) -> tuple[Tensor, dict[str, Tensor]]:
    if batch.mined is None:
        raise UsageError("this objective needs mined triplets; this batch has none (add a miner)")
    found = [term(one, batch.mined) for one in z]
    loss: Tensor = torch.stack([loss for loss, _ in found]).mean()
    names = found[0][1]
    return loss, {name: torch.stack([parts[name] for _, parts in found]).mean() for name in names}


class Term(Config):
    """One objective of a sum.

    Attributes
    ----------
    weight : float
    objective : config
    """

    weight: float = Field(default=1.0, gt=0)
    objective: OneObjective


class SumObjective(Config):
    """A weighted sum of objectives: SimCLR and ``relative``; any of them and a term that spreads embeddings.

    Attributes
    ----------
    terms : tuple
        Objectives with their weights.
    """

    kind: Literal["sum"] = "sum"
    terms: tuple[Term, ...] = Field(min_length=1)

    @property
    def needs_mining(self) -> bool:
        """Whether any of them wants mined triplets."""
        return any(term.objective.needs_mining for term in self.terms)

    @property
    def least_views(self) -> int:
        """How many views of each recording are wanted at least."""
        return max(term.objective.least_views for term in self.terms)


PretrainObjectiveConfig = Annotated[OneObjective | SumObjective, Field(discriminator="kind")]


def terms_of(config: PretrainObjectiveConfig) -> tuple[Term, ...]:
    """Give the terms of a sum, or the objective as the only one."""
    return config.terms if isinstance(config, SumObjective) else (Term(objective=config),)


def num_landmarks(config: PretrainObjectiveConfig) -> int:
    """Count the landmarks whose distances are wanted; 0 where none are.

    Raises
    ------
    UsageError
        Two terms want other numbers.
    """
    wanted = {term.objective.num for term in terms_of(config) if isinstance(term.objective, LandmarkObjective)}
    if len(wanted) > 1:
        raise UsageError("objective.terms: two landmark objectives want different numbers of landmarks; take one")
    return max(wanted, default=0)


def pretrain_loss(config: PretrainObjectiveConfig, width: int) -> PretrainLoss:
    """Build the module that pretraining minimises, for embeddings [view, B, width]."""
    terms = terms_of(config)
    built = []
    seen: dict[str, int] = {}
    for term in terms:
        kind = term.objective.kind
        seen[kind] = seen.get(kind, 0) + 1
        name = kind if seen[kind] == 1 else f"{kind}{seen[kind]}"
        wanted = term.objective
        module = wanted.build(width) if isinstance(wanted, LandmarkObjective) else wanted.build()
        built.append((name, term.weight, wanted.across_views, module))
    return PretrainLoss(built)
