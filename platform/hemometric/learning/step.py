"""One step: forward, an agreement of all ranks that it is sound, backward, update; or none of it, on all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hemometric.learning.batch import TrainingBatch, World
from hemometric.learning.collectives import maxima


@dataclass(frozen=True)
class Step:
    """What one step gave.

    Attributes
    ----------
    loss : float
        NaN where the step was skipped.
    parts : dict
        The objective's parts and `grad_norm`, before clipping; empty where the step was skipped.
    skipped : bool
        Something was not finite on some rank, and no rank moved.
    asked_to_stop : bool
        Some rank was asked to stop.
    suspects : tuple of str
        Recordings of a skipped batch that hold a value that is not finite, by id; empty where the weights made it.
    """

    loss: float
    parts: dict[str, float]
    skipped: bool
    asked_to_stop: bool
    suspects: tuple[str, ...] = ()


def train_step(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: TrainingBatch,
    world: World,
    *,
    clip_norm: float | None = None,
    asked_to_stop: Callable[[], bool] = lambda: False,
) -> Step:
    """Move the weights once. Collectives: those of the forward pass, one agreement, those of the backward pass.

    The loss is the same on every rank, and so is the gradient once it is averaged; only inputs are looked at by one
    rank alone, and that the agreement spreads. A skipped step leaves weights, buffers (running statistics) and the
    optimiser as they were.
    """
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    optimiser.zero_grad(set_to_none=True)
    loss, parts = model(batch, world)
    sound = bool(torch.isfinite(loss)) and bool(torch.isfinite(batch.signals).all())
    unsound_somewhere, stop_somewhere = maxima([not sound, asked_to_stop()], world)
    skipped = unsound_somewhere > 0
    grad_norm = math.nan
    if not skipped:
        loss.backward()
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        norm = nn.utils.clip_grad_norm_(parameters, math.inf if clip_norm is None else clip_norm)
        grad_norm = float(norm)
        skipped = not math.isfinite(grad_norm)
    if skipped:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        optimiser.zero_grad(set_to_none=True)
        return Step(math.nan, {}, skipped=True, asked_to_stop=stop_somewhere > 0, suspects=_suspects(batch, world))
    optimiser.step()
    values = {name: float(value) for name, value in parts.items()} | {"grad_norm": grad_norm}
    return Step(float(loss.detach()), values, skipped=False, asked_to_stop=stop_somewhere > 0)


def _suspects(batch: TrainingBatch, world: World) -> tuple[str, ...]:
    """Gather which rows hold an infinity, or a NaN where that does not mean "no label"."""
    bad: Tensor = ~torch.isfinite(batch.signals).flatten(1).all(dim=1)
    if batch.targets is not None:
        bad = bad | torch.isinf(batch.targets)
    flags = torch.zeros(len(batch.recording_ids), dtype=torch.float64)
    flags[world.rank :: world.size] = bad.double().cpu()
    everywhere = maxima(flags.tolist(), world)
    return tuple(name for name, flag in zip(batch.recording_ids, everywhere, strict=True) if flag > 0)
