"""The contrastive objective: of all others, whom an embedding resembles should be its own."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from hemometric.config import Config
from hemometric.errors import UsageError
from hemometric.objectives.embeddings import check_views
from hemometric.objectives.global_batch import GlobalBatch

PositivesOf = Literal["recording", "patient", "pair", "mined"]
_BELOW_ALL = 200.0
"""As in `relative`: exp(-200) is nothing beside 1, and leaves no NaN in gradients."""


class NtXentLoss(nn.Module):
    """A softmax over each positive and all negatives of its anchor; see `NtXentObjective`."""

    def __init__(self, temperature: float, positives: PositivesOf) -> None:
        super().__init__()
        self.temperature = temperature
        self.positives: PositivesOf = positives

    def forward(self, z: Tensor, batch: GlobalBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of all views.

        Parameters
        ----------
        z : float [view, B, dim]
            Embeddings in the global order of the batch.
        batch : GlobalBatch

        Returns
        -------
        loss : float []
            0, with a gradient of 0, where no anchor has both a positive and a negative.
        parts : dict of float []
            ``positive_similarity`` and ``negative_similarity`` (mean cosines), ``num_pairs``.
        """
        check_views(z, len(batch))
        num_views = len(z)
        unit = functional.normalize(z.flatten(0, 1), dim=1)  # row v * B + n is view v of recording n
        cosine = unit @ unit.T
        similarity = cosine / self.temperature
        positive = self._positive(batch, num_views)
        # Whoever attracts does not repel, and nobody repels a recording of the same patient.
        negative = batch.strangers().repeat(num_views, num_views) & ~positive
        if self.positives == "mined" and batch.mined is not None:
            negative &= batch.mined.repels.repeat(num_views, num_views)
        floor = -1.0 / self.temperature - _BELOW_ALL
        against = torch.where(negative, similarity, floor).logsumexp(dim=1, keepdim=True)
        counted = positive & negative.any(dim=1, keepdim=True)
        # -log(exp(s) / (exp(s) + sum over negatives exp(s'))) = softplus(logsumexp over negatives - s)
        terms = functional.softplus(against - similarity)
        num_pairs = counted.sum()
        loss = torch.where(counted, terms, 0.0).sum() / num_pairs.clamp(min=1)
        with torch.no_grad():
            parts = {
                "positive_similarity": _mean(cosine, positive),
                "negative_similarity": _mean(cosine, negative),
                "num_pairs": num_pairs.to(torch.float32),
            }
        return loss, parts

    def _positive(self, batch: GlobalBatch, num_views: int) -> Tensor:
        """Tell which rows attract each other, bool [view * B, view * B]."""
        num = len(batch)
        same_recording = batch.recordings[:, None] == batch.recordings[None, :]
        view = torch.arange(num_views * num, device=same_recording.device) // num
        another_view = view[:, None] != view[None, :]
        match self.positives:
            case "recording":
                return same_recording.repeat(num_views, num_views) & another_view
            case "patient":
                alike, itself = ~batch.strangers(), same_recording
                return alike.repeat(num_views, num_views) & (another_view | ~itself.repeat(num_views, num_views))
            case "pair":
                place = torch.arange(num, device=same_recording.device)
                pairs = (place[:, None] ^ 1) == place[None, :]
                return (pairs & ~same_recording).repeat(num_views, num_views)
            case "mined":
                if batch.mined is None:
                    raise UsageError("positives of kind mined need mined triplets; this batch has none (add a miner)")
                chosen = torch.zeros_like(same_recording)
                chosen[batch.mined.anchors, batch.mined.positives] = True
                return chosen.repeat(num_views, num_views)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)


class NtXentObjective(Config):
    """Normalised temperature-scaled cross-entropy (SimCLR: Chen et al., ICML 2020, equation 1).

    For an anchor i and each of its positives j, with s the cosine of two embeddings over the temperature::

        l(i, j) = -log( exp(s_ij) / (exp(s_ij) + sum over negatives k of exp(s_ik)) )

    and the loss is the mean over all (i, j). Every view of every recording is an anchor. Negatives are recordings of
    other patients; another recording of the anchor's patient attracts, if `positives` says so, and never repels.

    Attributes
    ----------
    temperature : float
        0.1 in SimCLR, CLOCS and PCLR.
    positives : "recording", "patient", "pair" or "mined"
        Other views of the recording (SimCLR, and CLOCS with views of segments or leads); all of the patient's (CLOCS
        as published, PCLR in batches of patients); the other one of a pair that the batch holds side by side (PCLR:
        Diamant et al. 2022; with limits on the gap, Liu et al. 2025: ``batches: {kind: pairs}``); or the nearest that
        was mined.
    """

    kind: Literal["nt_xent"] = "nt_xent"
    across_views: ClassVar[bool] = True
    temperature: float = Field(default=0.1, gt=0)
    positives: PositivesOf = "recording"

    @property
    def needs_mining(self) -> bool:
        """Whether mined triplets are wanted."""
        return self.positives == "mined"

    @property
    def least_views(self) -> int:
        """How many views of each recording are wanted at least."""
        return 2 if self.positives == "recording" else 1

    def build(self) -> NtXentLoss:
        """Give the module."""
        return NtXentLoss(self.temperature, self.positives)
