"""The objective that uses the whole ranking: each other recording attracts, and those farther than it repel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from hemometric.config import Config
from hemometric.mining import Mined
from hemometric.objectives.embeddings import check_embeddings

_BELOW_ALL = 200.0
"""exp(-200) is nothing beside 1 even in float64, and unlike an infinity it leaves no NaN in gradients."""


class RelativeLoss(nn.Module):
    """A contrastive term for each rank of each anchor; see `RelativeObjective`."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, z_all: Tensor, mined: Mined) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a ranked batch.

        Parameters
        ----------
        z_all : float [B, dim]
            Embeddings in the global order of the batch.
        mined : Mined
            Distances and eligible pairs in that order; its triplets are not used.

        Returns
        -------
        loss : float []
            0, with a gradient of 0, where no pair has a farther one.
        parts : dict of float []
            ``nearest_similarity`` and ``mean_similarity`` (cosines with the nearest, and with all that may attract),
            ``num_terms``.
        """
        check_embeddings(z_all, len(mined.distances))
        mined = mined.to(z_all.device)
        unit = functional.normalize(z_all, dim=1)
        similarity = unit @ unit.T / self.temperature

        ranking = ranked(similarity, mined.distances, mined.valid, mined.repels)
        with torch.no_grad():
            cosine = ranking.similarity * self.temperature
            parts = {
                "nearest_similarity": _mean(cosine[:, :1], ranking.attracts[:, :1]),
                "mean_similarity": _mean(cosine, ranking.attracts),
                "num_terms": ranking.num_terms.to(torch.float32),
            }
        return ranking.loss, parts


@dataclass(frozen=True, eq=False)
class Ranking:
    """A contrastive term for each rank of each row.

    Attributes
    ----------
    loss : float []
        The mean of the terms; 0 without any.
    similarity : float [B, B]
        Each row from the nearest to the farthest.
    attracts : bool [B, B]
        Which of these may attract.
    num_terms : int64 []
    """

    loss: Tensor
    similarity: Tensor
    attracts: Tensor
    num_terms: Tensor


def ranked(
    similarity: Tensor,
    distances: Tensor,
    valid: Tensor,
    repels: Tensor,
    *,
    equals_repel: bool = False,
) -> Ranking:
    """Contrast each pair with those of the same row that are farther.

    Parameters
    ----------
    similarity : float [B, B]
        Over the temperature.
    distances : float [B, B]
        What each row is ranked by.
    valid, repels : bool [B, B]
        Pairs that may attract, and those that may repel.
    equals_repel : bool
        Others at the same distance repel too.
    """
    # Along each row from near to far. What may not attract goes to the end: it has none farther, hence no term.
    far = torch.where(valid, distances, torch.inf)
    ordered, order = torch.sort(far, dim=1, stable=True)
    attracts, opposes = valid.gather(1, order), repels.gather(1, order)
    near_to_far = similarity.gather(1, order)
    floor = similarity.detach().amin() - _BELOW_ALL
    log_sum, num_negatives = _of_the_farther(near_to_far, opposes, ordered, floor, right=not equals_repel)
    if equals_repel:  # the sum holds the pair itself where it may repel
        num_negatives = num_negatives - opposes.to(torch.int64)
        terms = torch.where(opposes, log_sum, torch.logaddexp(log_sum, near_to_far)) - near_to_far
    else:  # -log(exp(s) / (exp(s) + sum over farther exp(s'))) = softplus(logsumexp over farther - s)
        terms = functional.softplus(log_sum - near_to_far)
    counted = attracts & (num_negatives > 0)
    num_terms = counted.sum()
    loss = torch.where(counted, terms, 0.0).sum() / num_terms.clamp(min=1)
    return Ranking(loss, near_to_far, attracts, num_terms)


def _of_the_farther(
    values: Tensor, repels: Tensor, distances: Tensor, floor: Tensor, *, right: bool
) -> tuple[Tensor, Tensor]:
    """For each place of a sorted row, the log-sum-exp and the number of the repelling ones at a greater distance.

    Equals are farther all together or, with `right`, not at all, so that the order among them does not matter.
    `floor` lies far below every value: it stands for "none".
    """
    masked = torch.where(repels, values, floor)
    # From the end to the front: place r holds the log-sum-exp over all places from r on.
    suffix = torch.cat([torch.logcumsumexp(masked.flip(1), dim=1).flip(1), floor.expand(len(masked), 1)], dim=1)
    count = functional.pad(repels.to(torch.int64).flip(1).cumsum(1).flip(1), (0, 1))
    first_farther = torch.searchsorted(distances.contiguous(), distances.contiguous(), right=right)
    return suffix.gather(1, first_farther), count.gather(1, first_farther)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)


class RelativeObjective(Config):
    """Relative contrastive loss (RelCon: Xu et al., ICLR 2025), on mined distances.

    For anchor i and other recording j, with s the cosine of two embeddings over the temperature::

        l(i, j) = -log( exp(s_ij) / (exp(s_ij) + sum over k with d_ik > d_ij of exp(s_ik)) )

    and the loss is the mean over all (i, j) that have such a k. So every other recording attracts more than all that
    are farther from the anchor. Recordings of the anchor's own patient attract like others and never repel; copies
    of the anchor's own recording do neither. Equally far recordings do not repel each other.

    Attributes
    ----------
    temperature : float
        Smaller looks harder at the most similar of the farther.
    """

    kind: Literal["relative"] = "relative"
    across_views: ClassVar[bool] = False
    needs_mining: ClassVar[bool] = True
    least_views: ClassVar[int] = 1
    temperature: float = Field(default=0.1, gt=0)

    def build(self) -> RelativeLoss:
        """Give the module."""
        return RelativeLoss(self.temperature)
