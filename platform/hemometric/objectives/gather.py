"""Every rank's rows on every rank, with gradients that equal those of one process on the joined batch."""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor


class Ranks(Protocol):
    """Whatever knows how many ranks there are."""

    @property
    def size(self) -> int:
        """How many ranks there are."""
        ...


def gather(local: Tensor, world: Ranks | int, group: dist.ProcessGroup | None = None) -> Tensor:
    """Gather rows to the global order of the batch: row i of rank r becomes row ``i * world + r``.

    A collective call: every rank makes it at the same point, with the same shape and type. Backward is one too: it
    sums the ranks' gradients of the joined rows and gives each rank its own. If all ranks compute the same loss of
    the joined rows, each then holds world times its rows' gradient, and DistributedDataParallel, which averages over
    ranks, arrives at exactly the gradient of one process. (`torch.distributed.nn.functional` does the same, but is
    deprecated and warns.)

    Parameters
    ----------
    local : [b, …]
        This rank's rows, of any type; gradients flow through floating ones.
    world : int, or an object with a `size`
        How many ranks there are. With 1 the rows are returned as they are, without a process group.
    group : ProcessGroup or None
        None takes the default group.

    Returns
    -------
    [b * world, …]
    """
    size = world if isinstance(world, int) else world.size
    if size == 1:
        return local
    gathered: Tensor = _Gather.apply(local, size, group)  # type: ignore[no-untyped-call]  # torch leaves apply untyped
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor, size: int, group: dist.ProcessGroup | None) -> Tensor:
        ctx.size, ctx.group = size, group
        parts = [torch.empty_like(local, memory_format=torch.contiguous_format) for _ in range(size)]
        dist.all_gather(parts, local.contiguous(), group=group)
        joined = torch.stack(parts, dim=1).flatten(0, 1)
        if not local.is_floating_point():
            ctx.mark_non_differentiable(joined)
        return joined

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        # A copy: the incoming gradient may be shared with other consumers, and the sum is taken in place.
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=ctx.group)
        return total[dist.get_rank(ctx.group) :: ctx.size].contiguous(), None, None
