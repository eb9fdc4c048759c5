"""Normalisation layers in one process."""

import copy

import pytest
import torch
from torch import nn

from hemometric.encoders.norm import GlobalBatchNorm1d, build_norm, num_groups


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 9)])
def test_one_process_is_torch_batch_norm(shape):
    torch.manual_seed(0)
    ours, torchs = GlobalBatchNorm1d(4), nn.BatchNorm1d(4)
    for step in range(3):
        signals = torch.randn(shape) * 2 + step
        assert torch.equal(ours(signals), torchs(signals))
    for (name, found), expected in zip(ours.state_dict().items(), torchs.state_dict().values(), strict=True):
        assert torch.equal(found, expected), name
    assert torch.equal(ours.eval()(signals), torchs.eval()(signals))


def test_a_norm_is_copied_and_moves_between_batch_and_global():
    ours = GlobalBatchNorm1d(4)
    ours(torch.randn(8, 4))
    other = nn.BatchNorm1d(4)
    other.load_state_dict(copy.deepcopy(ours).state_dict())
    assert torch.equal(other.running_mean, ours.running_mean)


@pytest.mark.parametrize(
    ("channels", "groups"), [(64, 8), (512, 8), (128, 8), (32, 4), (16, 2), (12, 1), (8, 1), (1, 1), (24, 3)]
)
def test_groups_divide_the_channels_and_hold_eight_or_more(channels, groups):
    assert num_groups(channels) == groups


def test_group_norm_looks_at_one_row_at_a_time():
    torch.manual_seed(0)
    norm = build_norm("group", 16)
    rows = torch.randn(6, 16)
    assert torch.allclose(norm(rows)[2:3], norm(rows[2:3]), atol=1e-6)
    assert norm(rows).abs().min() > 0


def test_kinds():
    assert type(build_norm("batch", 4)) is nn.BatchNorm1d
    assert type(build_norm("global", 4)) is GlobalBatchNorm1d
    assert type(build_norm("group", 4)) is nn.GroupNorm
    with pytest.raises(ValueError, match="use batch, global or group"):
        build_norm("layer", 4)
