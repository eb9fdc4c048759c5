"""Two ranks under DistributedDataParallel have the loss and the gradients of one process on the joined batch."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import get_args

import numpy as np
import pytest
import torch

from hemometric.objectives import GlobalBatch, SumObjective, gather
from hemometric.objectives.pretraining import OneObjective

SCRIPT = Path(__file__).with_name("two_ranks.py")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("objectives_two_ranks", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


script = _load()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, np.ndarray]]:
    """Loss and gradients of each of two processes, after DistributedDataParallel averaged them."""
    folder = tmp_path_factory.mktemp("two_ranks")
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-W",
                "error",
                str(SCRIPT),
                str(folder / "store"),
                str(folder / f"{rank}.npz"),
                str(rank),
                "2",
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=90)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], errors
    return [dict(np.load(folder / f"{rank}.npz")) for rank in range(2)]


def test_every_pretraining_objective_is_tried() -> None:
    members = get_args(get_args(OneObjective)[0])
    assert len(members) > 6
    assert {type(config) for config in script.PRETRAIN.values()} == {*members, SumObjective}


@pytest.mark.parametrize("name", [*script.PRETRAIN, *script.SUPERVISED])
def test_gradients_are_those_of_the_joined_batch(ranks: list[dict[str, np.ndarray]], name: str) -> None:
    alone = script.joined(name)
    assert "encoder.weight" in alone
    assert ("head.weight" in alone) == (name in script.SUPERVISED)
    assert ("objective.terms.0.loss.beta" in alone) == (name == "margin")
    assert np.abs(alone["encoder.weight"]).max() > 1e-2
    for rank in ranks:
        for key, value in alone.items():
            np.testing.assert_allclose(rank[f"{name}/{key}"], value, rtol=1e-9, atol=1e-9)


def test_rows_in_rank_order_would_not_pass() -> None:
    # Each rank's rows one after the other, as the library's own wrapper joins them: the triplets then mean others.
    model = script.Model("triplet")
    signals, _ = script.data()
    wrong = torch.cat([signals[0::2], signals[1::2]])
    everyone = GlobalBatch.of(*script.names(), wrong.device, script.mined())
    views = torch.stack([wrong, wrong.roll(1, dims=1)])
    loss, _ = model.objective(model.encoder(views), everyone)
    assert abs(loss.item() - float(script.joined("triplet")["loss"])) > 1e-2


def test_an_rmse_averaged_over_ranks_would_not_pass() -> None:
    signals, targets = script.data()
    recordings, patients = script.names()
    model = script.Model("rmse")
    model.objective.metric = None
    halves = []
    for rank in range(2):
        z = model.encoder(signals[rank::2])
        loss, _ = model.objective(
            z, model.head(z).squeeze(1), targets[rank::2], recordings[rank::2], patients[rank::2], 0, 0
        )
        halves.append(loss.item())
    z = model.encoder(signals)
    whole, _ = model.objective(z, model.head(z).squeeze(1), targets, recordings, patients, 0, 0)
    assert abs(sum(halves) / 2 - whole.item()) > 1e-3


def test_with_one_process_rows_stay_as_they_are_and_no_group_is_needed() -> None:
    local = torch.randn(3, 2)
    assert gather(local, 1) is local
    assert gather(local, script.World(1)) is local
