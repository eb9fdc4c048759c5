"""How far embeddings spread, on clouds whose shape is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hemometric.objectives import spread


@pytest.mark.parametrize("num", [4000, 40])
def test_a_round_cloud_fills_all_its_dimensions(num: int) -> None:
    torch.manual_seed(0)
    z = torch.zeros(num, 64)
    z[:, :5] = torch.randn(num, 5)
    found = spread(z + 3.0)  # where it lies does not count
    eigenvalues = np.linalg.eigvalsh(np.cov(z.numpy().T.astype(np.float64)))
    expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    assert found["z_rank"].item() == pytest.approx(expected, rel=1e-4)
    assert 4 < found["z_rank"].item() <= 5
    assert found["z_norm"].item() == pytest.approx((z + 3.0).norm(dim=1).mean().item(), rel=1e-6)


def test_a_line_is_one_dimension_and_a_point_none() -> None:
    line = torch.linspace(-1, 1, 30)[:, None] * torch.ones(1, 7)
    assert spread(line)["z_rank"].item() == pytest.approx(1.0, rel=1e-5)
    assert spread(torch.ones(30, 7))["z_rank"].item() == 0.0
    assert not spread(line.requires_grad_())["z_rank"].requires_grad
