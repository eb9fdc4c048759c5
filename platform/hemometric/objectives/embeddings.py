"""What every objective does to its embeddings first."""

from __future__ import annotations

from torch import Tensor


def check_embeddings(z_all: Tensor, num: int | None = None) -> None:
    """Refuse what is not [B, dim].

    Raises
    ------
    ValueError
        Another shape, or not `num` rows.
    """
    if z_all.ndim != 2 or (num is not None and len(z_all) != num):
        rows = "B" if num is None else num
        raise ValueError(f"embeddings have shape {tuple(z_all.shape)}; expected [{rows}, dim]")


def centred(z_all: Tensor) -> Tensor:
    """Move embeddings [B, dim] to their mean, for distances between them.

    torch computes the distances of larger batches as x^2 - 2 x y + y^2, which cancels where embeddings lie close
    together and far from the origin (a mean of 10 in each of 128 dimensions: errors of 0.02 in squared distances of
    0.6, in float32). Neither distances nor their gradients feel the shift, so the mean needs no gradient of its own.
    """
    return z_all - z_all.detach().mean(dim=0)


def check_views(z: Tensor, num: int) -> None:
    """Refuse what is not [view, B, dim] with B = `num`.

    Raises
    ------
    ValueError
        Another shape.
    """
    if z.ndim != 3 or z.shape[1] != num:
        raise ValueError(f"embeddings have shape {tuple(z.shape)}; expected [view, {num}, dim]")
