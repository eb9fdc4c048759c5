"""The few words that ranks exchange beside gradients: agreement, maxima, and rank 0's bytes. No gradient flows here.

Every rank must call each of them at the same point; with one process each is the identity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist

from hemometric.errors import HemometricError
from hemometric.learning.batch import World


def maxima(values: Sequence[float], world: World) -> list[float]:
    """Elementwise maximum over all ranks, in float64."""
    if world.size == 1:
        return [float(value) for value in values]
    tensor = torch.tensor(values, dtype=torch.float64, device=world.device)
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return [float(value) for value in tensor.tolist()]


def from_main(make: Callable[[], bytes], world: World) -> bytes:
    """Run `make` on rank 0 and give its bytes to every rank; if it raises one of our errors, every rank raises it.

    Raises
    ------
    HemometricError
        Of rank 0's own class and sentence.
    """
    if world.size == 1:
        return make()
    content, failure = b"", None
    if world.is_main:
        try:
            content = make()
        except HemometricError as error:
            failure, content = error, f"{type(error).__name__}\n{error}".encode()
    header = torch.tensor([len(content), failure is not None], dtype=torch.int64, device=world.device)
    dist.broadcast(header, src=0)
    num_bytes, failed = (int(value) for value in header.tolist())
    payload = torch.empty(num_bytes, dtype=torch.uint8)
    if content:
        payload = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    payload = payload.to(world.device)
    if num_bytes:
        dist.broadcast(payload, src=0)
    if failure is not None:
        raise failure
    received = payload.cpu().numpy().tobytes()
    if failed:
        name, _, sentence = received.decode().partition("\n")
        known = {cls.__name__: cls for cls in HemometricError.__subclasses__()}
        raise known.get(name, HemometricError)(sentence)
    return received
