"""A small trained-looking model, and real and drawn recordings."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import hemometric
from hemometric.ecg import INDEPENDENT_LEADS, Recording
from hemometric.encoders import HeadConfig, ResNet1dConfig, Task, save
from hemometric.vendors import find, read
from hemometric.waveform import Preparation, standard_leads

PTBXL = Path(hemometric.__file__).parent / "demo" / "data" / "ptbxl"
HEAD = HeadConfig(hidden=8)
PREPARATION = Preparation()
CONFIG = ResNet1dConfig(blocks=(1, 1), widths=(8, 16), embedding_dim=6)
REGRESSION = Task(kind="regression", label="mpcwp_mmhg", unit="mmHg", scale_mean=15.7, scale_sd=8.1)
PROVENANCE = {"config_hash": "c0ffee", "manifest_hash": "feed", "commit": "1234567", "seed": 3}


def build_modules(config=CONFIG, head=HEAD, num_leads=12, seed=0):
    """Modules with statistics and weights that are not the initial ones."""
    torch.manual_seed(seed)
    modules = [config.build(num_leads), head.build(config.embedding_dim, config.norm) if head else None]
    for module in filter(None, modules):
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) * 0.1 if "running" in name else torch.randn_like(tensor) * 0.05)
    return modules


def write_model(folder, *, config=CONFIG, head=HEAD, task=REGRESSION, preparation=PREPARATION, **given):
    encoder, built = build_modules(config, head, len(preparation.leads), given.pop("seed", 0))
    model_hash = save(
        folder,
        encoder=encoder,
        encoder_config=config,
        head=built,
        head_config=head,
        preparation=preparation,
        task=task if head else None,
        provenance=given.pop("provenance", PROVENANCE),
        metrics=given.pop("metrics", {"validation.rmse_mmhg": 7.25, "validation.auroc": float("nan")}),
        **given,
    )
    return encoder, built, model_hash


def draw_recordings(num, *, num_samples=1000, rate_hz=100.0, seed=0, scale=0.1):
    draw = np.random.default_rng(seed)
    eight = (draw.standard_normal((num, 8, num_samples)) * scale).astype(np.float32)
    signals = [standard_leads(signal, INDEPENDENT_LEADS)[0] for signal in eight]  # noise that the gates let pass
    return [
        Recording.from_millivolts(signal, key=f"Miller^Anna/{i}", rate_hz=rate_hz) for i, signal in enumerate(signals)
    ]


def read_records(num, folder="records100"):
    """The first bundled PTB-XL records."""
    recordings = [read(source) for source in itertools.islice(find([PTBXL / folder]), num)]
    assert all(isinstance(recording, Recording) for recording in recordings)
    assert len(recordings) == num
    return recordings


@pytest.fixture
def build():
    return build_modules


@pytest.fixture
def save_model():
    return write_model


@pytest.fixture
def drawn():
    return draw_recordings


@pytest.fixture
def real():
    return read_records


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "model"
    write_model(path)
    return path


@pytest.fixture(scope="module")
def run_two_ranks(tmp_path_factory):
    """Runs ``script RANK FOLDER`` twice at once; gives the tensors of ``FOLDER/RANK.safetensors``, one dict a rank."""

    def run(script):
        folder = tmp_path_factory.mktemp("two_ranks")
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        started = [
            subprocess.Popen(
                [sys.executable, str(script), str(rank), str(folder)],
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for rank in range(2)
        ]
        try:
            for process in started:
                _, errors = process.communicate(timeout=120)
                assert process.returncode == 0, errors
        finally:
            for process in started:
                process.kill()
                process.wait()
        return [load_file(folder / f"{rank}.safetensors") for rank in range(2)]

    return run
