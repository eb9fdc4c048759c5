"""Two gloo ranks against one process on the joined batches, with the encoder, miner and objectives that ship."""

import json
import math
import os
import signal
import subprocess
import sys

import pytest
import torch

from hemometric.learning import World

IDLE = {"encoder.embedding.bias", "head.layers.0.bias"}
"""Before a loss of differences, and before a normalisation: both are blind to a shift."""


@pytest.fixture(scope="module")
def one(ranks):
    return ranks.scenarios(World())


@pytest.fixture(scope="module")
def two(ranks, tmp_path_factory):
    """What each of two ranks found; a run of theirs was killed before, for them to continue."""
    folder = tmp_path_factory.mktemp("two")
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, ranks.__file__, str(folder)], env=environment, capture_output=True, text=True, check=True
    )
    codes = json.loads(done.stdout)
    assert codes["killed"][1] == -signal.SIGKILL
    assert codes["killed"][0] != 0  # it cannot go on alone
    assert codes["all"] == [0, 0], done.stderr
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in range(2)]


def assert_weights_equal(one, other, **tolerance):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], msg=lambda text, name=name: f"{name}: {text}", **tolerance)


@pytest.mark.parametrize("kind", ["pretraining", "supervised"])
def test_the_first_gradient_is_that_of_the_joined_batch(one, two, kind):
    expected = one[f"gradient {kind}"]
    largest = max(float(value.abs().max()) for name, value in expected.items() if name != "loss")
    assert largest > 0.1
    for found in two:
        assert_weights_equal(found[f"gradient {kind}"], expected, rtol=0, atol=1e-6 * max(1.0, largest))


@pytest.mark.parametrize("kind", ["pretraining", "supervised"])
def test_the_losses_are_those_of_one_process(one, two, kind):
    assert len(set(one[f"losses {kind}"])) == 9
    for found in two:
        assert found[f"losses {kind}"] == pytest.approx(one[f"losses {kind}"], abs=1e-5)
    assert two[0][f"losses {kind}"] == two[1][f"losses {kind}"]
    assert two[0][f"validations {kind}"] == two[1][f"validations {kind}"]
    assert [step for step, _ in two[0][f"validations {kind}"]] == [4, 8, 9]
    assert_weights_equal(two[0][f"weights {kind}"], two[1][f"weights {kind}"], rtol=0, atol=0)
    # A shift of all embeddings changes neither loss: its gradient is rounding alone, which Adam blows up to full steps,
    # and the mean that the head's norm keeps goes with it.
    idle = {*IDLE, "head.layers.1.running_mean"}
    moved = {name: value for name, value in two[0][f"weights {kind}"].items() if name not in idle}
    expected = {name: value for name, value in one[f"weights {kind}"].items() if name not in idle}
    assert_weights_equal(moved, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["pretraining", "supervised"])
def test_idle_parameters_are_those_without_a_gradient(one, kind):
    idle = {name for name, value in one[f"gradient {kind}"].items() if value.abs().max() < 1e-6}
    assert idle == {name for name in IDLE if name in one[f"gradient {kind}"]}


def test_a_killed_rank_costs_nothing_but_time(two):
    for found in two:
        assert 0 < found["killed"]["from"] < 9
        assert found["killed"]["losses"] == found["losses pretraining"]
        assert_weights_equal(found["killed"]["weights"], found["weights pretraining"], rtol=0, atol=0)


def test_one_bad_row_on_one_rank_is_skipped_by_all(one, two):
    for found in (one, *two):
        assert [step for step, loss in enumerate(found["poisoned"]["losses"]) if math.isnan(loss)] == [3]
        assert found["poisoned"]["num_skipped"] == 1
        assert all(torch.isfinite(value).all() for value in found["poisoned"]["weights"].values())
    assert_weights_equal(two[0]["poisoned"]["weights"], two[1]["poisoned"]["weights"], rtol=0, atol=0)
    # Row 1 of rank 1 of 2 is position 3 of the batch; of a single process it is position 1.
    for found, named in ((one, "recording-3-1"), (two[0], "recording-3-3"), (two[1], "recording-3-3")):
        assert found["poisoned too long"].startswith("IntegrityError: 1 steps in a row, up to step 4, were not finite")
        assert f"recordings {named};" in found["poisoned too long"]


def test_a_batch_without_labels_stops_nobody(one, two):
    for found in two:
        assert found["losses without labels"] == pytest.approx(one["losses without labels"], abs=1e-5)


def test_one_rank_that_is_asked_to_stop_stops_all(two):
    for found in two:
        assert found["stopped"].startswith("InterruptedRunError: stopped after step 5 of 9")
        assert found["stopped again"]["from"] == 5
        assert found["stopped again"]["losses"] == found["losses pretraining"]
        assert_weights_equal(found["stopped again"]["weights"], found["weights pretraining"], rtol=0, atol=0)


def test_what_the_main_rank_cannot_do_every_rank_raises(two):
    for found in two:
        assert found["another config"].startswith("UsageError: the checkpoints in ")
        assert "belong to config config-a, this run has config config-b" in found["another config"]
        assert found["blocked"].startswith("PrecheckError: checkpoint step-00000003")


def test_reports_are_the_same_on_every_rank(two):
    assert two[0]["reports"] == two[1]["reports"]
    assert [step for step, _, _ in two[0]["reports"]] == [3, 4, 6, 8, 9]
    assert [is_best for _, _, is_best in two[0]["reports"]] == [False, True, False, True, True]
    assert two[0]["best"] == two[1]["best"] == -4.0  # rank 0's own value


def test_only_the_main_rank_writes(two):
    assert two[0]["checkpoints"] == [True] * 5
    assert two[1]["checkpoints"] == [False] * 5
    assert two[0]["tracked"] == [2, 3, 4, 6, 8, 9]
    assert two[1]["tracked"] == []
