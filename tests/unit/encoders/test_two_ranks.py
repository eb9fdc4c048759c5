"""Two processes over gloo against one process on the joined batch, with torch's own BatchNorm1d as the oracle."""

import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

SCRIPT = Path(__file__).with_name("two_ranks.py")
ranks = runpy.run_path(str(SCRIPT))
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}


@pytest.fixture(scope="module")
def results(run_two_ranks):
    return run_two_ranks(SCRIPT)


def of_case(results, case):
    return [
        {name.removeprefix(f"{case}/"): tensor for name, tensor in result.items() if name.startswith(f"{case}/")}
        for result in results
    ]


def joined(split, pieces):
    whole = torch.empty(sum(len(piece) for piece in pieces), *pieces[0].shape[1:], dtype=pieces[0].dtype)
    for rows, piece in zip(ranks["SPLITS"][split], pieces, strict=True):
        whole[rows] = piece
    return whole


def assert_close(found, expected, tolerance, name):
    scale = max(1.0, float(expected.abs().max()))
    error = float((found.double() - expected.double()).abs().max()) / scale
    assert error <= tolerance, f"{name}: off by {error}"


@pytest.mark.parametrize("split", ["dealt", "unequal"])
@pytest.mark.parametrize("shape", ["rows", "signals"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_global_norm_is_batch_norm_on_the_joined_batch(results, dtype, shape, split):
    found = of_case(results, f"norm/{dtype}/{shape}/{split}")
    expected = ranks["run_norm"](nn.BatchNorm1d(6), shape, dtype, slice(None))
    assert found[0].keys() == expected.keys()
    for name in ("output0", "output1", "gradient0", "gradient1"):
        assert_close(joined(split, [one[name] for one in found]), expected[name], TOLERANCE[dtype], name)
    for name in ("weight", "bias"):
        assert_close(found[0][name] + found[1][name], expected[name], TOLERANCE[dtype], name)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(found[0][name], found[1][name]), f"{name} differs between the ranks"
        assert_close(found[0][name], expected[name], TOLERANCE[dtype], name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_encoder_and_head_on_two_ranks_are_one_process_on_the_joined_batch(results, dtype):
    found = of_case(results, f"model/{dtype}")
    expected = ranks["run_model"]("batch", dtype, slice(None))
    assert found[0].keys() == expected.keys()
    assert sum(name.startswith("gradient.") for name in expected) == len(list(ranks["Model"]("batch").parameters()))
    for name, tensor in expected.items():
        if name in ("embeddings", "outputs"):
            assert_close(joined("dealt", [one[name] for one in found]), tensor, TOLERANCE[dtype], name)
        else:
            assert torch.equal(found[0][name], found[1][name]), f"{name} differs between the ranks"
            assert_close(found[0][name], tensor, TOLERANCE[dtype], name)


def test_statistics_of_one_rank_would_not_pass(results):
    """The same comparison with local statistics is far off, so that the tests above can fail."""
    found = of_case(results, "local_model")
    expected = ranks["run_model"]("batch", "float64", slice(None))
    name = "gradient.encoder.embedding.weight"
    assert (found[0][name] - expected[name]).abs().max() > 1e-2


def test_a_given_group_is_the_batch(results):
    by_default = of_case(results, "norm/float64/signals/dealt")
    for found, expected in zip(of_case(results, "given"), by_default, strict=True):
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_every_collective_is_of_the_given_group(results):
    for found in of_case(results, "groups"):
        assert found["are_the_given"].tolist() == [True] * 4  # two steps, one forward and one backward each


def test_a_group_of_one_rank_is_plain_batch_norm(results):
    for found, rows in zip(of_case(results, "alone"), ranks["SPLITS"]["dealt"], strict=True):
        expected = ranks["run_norm"](nn.BatchNorm1d(6), "signals", "float64", rows)
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_evaluation_waits_for_no_other_rank(results):
    """Rank 0 alone forwarded in evaluation mode and came to an end."""
    assert of_case(results, "evaluated")[0]["output"].shape == (2, 6)
