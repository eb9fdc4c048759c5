"""How far embeddings spread: a loss may fall while they collapse onto a line, and these two figures show it."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def spread(z_all: Tensor) -> dict[str, Tensor]:
    """Measure embeddings [B, dim].

    Returns
    -------
    dict of float []
        ``z_norm``, their mean length; ``z_rank``, the number of dimensions that they fill evenly: for the eigenvalues
        v of their covariance (sum of v)^2 / sum of v^2, the participation ratio, from 1 (a line) to min(B - 1, dim);
        0 where they are all one.
    """
    z = z_all.detach().float()
    centred = z - z.mean(dim=0)
    # The eigenvalues of Z Z' are those of Z'Z; the smaller of the two is multiplied.
    product = centred @ centred.T if len(z) <= z.shape[1] else centred.T @ centred
    total, squares = product.diagonal().sum(), product.square().sum()
    rank = torch.where(squares > 0, total.square() / squares.clamp(min=torch.finfo(squares.dtype).tiny), 0.0)
    return {"z_norm": z.norm(dim=1).mean(), "z_rank": rank}
