"""From a batch to its loss, over all ranks: embed the local rows, gather, and hand everything to the objective.

What is gathered, in which order, and where gradients flow: embeddings, head outputs and targets are gathered to the
global order of the batch (row i of rank r is i * size + r), so every rank computes the same loss of all B rows. The
gather's backward sums the ranks' gradients and gives each rank its own rows; DistributedDataParallel then averages
parameter gradients, which for a loss that is the same on every rank gives exactly the gradient of one process on the
joined batch. Parameters of the loss lie inside this module, so they are averaged with the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hemometric.encoders import dropout_keys
from hemometric.encoders.keyed import keys_of_view
from hemometric.errors import IntegrityError, UsageError
from hemometric.learning.batch import TrainingBatch, World
from hemometric.learning.optimiser import unreached
from hemometric.mining import Mined
from hemometric.objectives import GlobalBatch, gather, spread
from hemometric.views import Views


class Learner(nn.Module):
    """Encoder, head and objective as one module; without a head it pretrains on mined triplets, with one on labels.

    Parameters
    ----------
    encoder : nn.Module
        [b, lead, sample] mV to [b, dim]. A fully frozen one also stays in evaluation mode while the rest trains.
    objective : nn.Module
        Without a head ``objective(z [view, B, dim], batch)`` with a `GlobalBatch`; with one
        ``objective(z [B, dim], outputs [B], targets [B], recording_ids, patients, seed, epoch)``; gives (loss, parts).
    seed : int
        Of dropout masks, views and label mining.
    head : nn.Module or None
        [b, dim] to [b].
    views : Views or None
        What the encoder sees of each recording in training; None shows it as it is.
    projection : nn.Module or None
        [b, dim] to [b, width], between the encoder and an objective of pretraining; no part of what is kept.
    mined_by : str
        The only `Mined.params_hash` that is taken; empty takes any.
    """

    def __init__(
        self,
        encoder: nn.Module,
        objective: nn.Module,
        *,
        seed: int,
        head: nn.Module | None = None,
        views: Views | None = None,
        projection: nn.Module | None = None,
        mined_by: str = "",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.views = views
        self.projection = projection
        self.objective = objective
        self.seed = seed
        self.mined_by = mined_by
        self._reach_is_proven = False

    def forward(self, batch: TrainingBatch, world: World) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of the global batch, the same on every rank, and its parts.

        Raises
        ------
        UsageError
            The batch lacks what this kind of learning needs: triplets, or targets.
        IntegrityError
            Rows are not in the global order, triplets were mined of other recordings or by other parameters, or a
            trainable parameter has no way to reach the loss.
        """
        self._check_order(batch, world)
        # A batch may give the loss nothing to hold on to (no eligible triplet, no label). Adding zero keeps every
        # parameter in the graph, or DistributedDataParallel would wait for gradients that never come.
        if self.head is None:
            loss, parts, keep = self._pretrained(batch, world)
            provable = batch.mined is None or batch.mined.anchors.numel() > 0
        else:
            targets = gather(self._targets(batch), world)
            loss, parts, keep = self._supervised(self.head, batch, targets, world)
            provable = bool(torch.isfinite(targets).any())
        if self.training and provable and not self._reach_is_proven and math.isfinite(loss.item()):
            missing = unreached(loss, self)
            if missing:
                raise IntegrityError(f"the loss does not depend on parameters that should learn: {', '.join(missing)}")
            self._reach_is_proven = True
        for parameter in self.objective.parameters():
            keep = keep + 0.0 * parameter.sum()
        return loss + keep, {name: value.detach() for name, value in parts.items()}

    def _pretrained(self, batch: TrainingBatch, world: World) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        if batch.mined is not None:
            self._check_mined(batch.mined, batch)
        z = self.embed_views(batch.signals, batch.keys, epoch=batch.epoch, step=batch.step)
        everyone = GlobalBatch.of(batch.recording_ids, batch.patients, z.device, batch.mined)
        z_all = gather(z.transpose(0, 1), world).transpose(0, 1)
        loss, parts = self.objective(z_all, everyone)
        return loss, parts | spread(z_all[0]), 0.0 * z.sum()

    def _supervised(
        self, head: nn.Module, batch: TrainingBatch, targets: Tensor, world: World
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        with dropout_keys(batch.keys, step=batch.step, seed=self.seed):
            z = self.encoder(batch.signals)
            outputs = head(z)
        z_all = gather(z, world)
        loss, parts = self.objective(
            z_all,
            gather(outputs, world),
            targets,
            recording_ids=batch.recording_ids,
            patients=batch.patients,
            seed=self.seed,
            epoch=batch.epoch,
        )
        return loss, parts | spread(z_all), 0.0 * (z.sum() + outputs.sum())

    def embed_views(self, signals: Tensor, keys: Tensor, *, epoch: int, step: int) -> Tensor:
        """Give what an objective of pretraining compares: float [view, b, dim], of signals [b, lead, sample] mV.

        All views pass as one batch, so that a norm over the batch tells them nothing of which view they are.
        """
        views = signals[None] if self.views is None else self.views(signals, keys, self.seed, epoch)
        num = len(views)
        each = torch.cat([keys_of_view(keys, view) for view in range(num)])
        with dropout_keys(each, step=step, seed=self.seed):
            z = self.encoder(views.flatten(0, 1))
            if self.projection is not None:
                z = self.projection(z)
        return torch.unflatten(z, 0, (num, len(signals)))

    def train(self, mode: bool = True) -> Learner:
        """Switch modes; a frozen encoder stays in evaluation, since neither statistics nor dropout may move it."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.encoder.parameters()):
            self.encoder.eval()
        return self

    def embed(self, signals: npt.NDArray[np.float32], *, batch_size: int = 256) -> npt.NDArray[np.float32]:
        """Embed prepared signals [n, lead, sample] mV in evaluation mode: float32 [n, dim]."""
        with self._evaluating():
            chunks = [self.encoder(part).cpu().numpy() for part in self._parts(signals, batch_size)]
        return np.concatenate(chunks)

    def predict(self, signals: npt.NDArray[np.float32], *, batch_size: int = 256) -> npt.NDArray[np.float32]:
        """Give the head's outputs for prepared signals, in evaluation mode and on the scale of the targets: [n].

        Raises
        ------
        UsageError
            There is no head.
        """
        if self.head is None:
            raise UsageError("this learner has no head; it embeds, and predicts nothing")
        with self._evaluating():
            chunks = [self.head(self.encoder(part)).cpu().numpy() for part in self._parts(signals, batch_size)]
        return np.concatenate(chunks)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        was_training = self.training
        self.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.train(was_training)

    def _parts(self, signals: npt.NDArray[np.float32], batch_size: int) -> Iterator[Tensor]:
        if len(signals) == 0:
            raise UsageError("no signals to embed")
        device = next(self.parameters()).device
        for start in range(0, len(signals), batch_size):
            # A copy, since a memory-mapped cache is read-only and torch warns of that.
            yield torch.from_numpy(np.array(signals[start : start + batch_size], dtype=np.float32)).to(device)

    def _check_mined(self, mined: Mined, batch: TrainingBatch) -> None:
        if mined.recording_ids != batch.recording_ids:
            raise IntegrityError(
                f"step {batch.step}: the triplets were mined of other recordings, or of these in another order; "
                "positions mean nothing there"
            )
        if self.mined_by and mined.params_hash != self.mined_by:
            raise IntegrityError(
                f"step {batch.step}: the triplets were mined by {mined.params_hash or 'unknown parameters'}, and this "
                f"run mines by {self.mined_by}; mine again"
            )

    @staticmethod
    def _targets(batch: TrainingBatch) -> Tensor:
        if batch.targets is None:
            raise UsageError("supervised learning needs targets; this batch has none (name a label)")
        return batch.targets

    @staticmethod
    def _check_order(batch: TrainingBatch, world: World) -> None:
        num_local, num_global = len(batch.signals), len(batch.recording_ids)
        if num_local * world.size != num_global or len(batch.patients) != num_global:
            raise IntegrityError(
                f"step {batch.step}: {num_local} rows on rank {world.rank} of {world.size}, {num_global} recordings "
                f"and {len(batch.patients)} patients are named; every rank needs the same share"
            )
        expected = torch.arange(num_local, device=batch.positions.device) * world.size + world.rank
        if not torch.equal(batch.positions % num_global, expected):
            raise IntegrityError(f"step {batch.step}: rank {world.rank} holds rows that are not its own")
