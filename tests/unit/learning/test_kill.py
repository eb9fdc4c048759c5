import signal
import subprocess
import sys
from pathlib import Path

import torch

from hemometric.learning import CheckpointStore


def test_killed_and_run_again_is_the_clean_run(tiny, tmp_path):
    command = [sys.executable, str(Path(tiny.__file__)), str(tmp_path), "10"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    resumed = tiny.train(store=CheckpointStore(tmp_path))
    assert 0 < resumed.resumed_from <= 9
    clean = tiny.train()
    assert resumed.losses == clean.losses
    assert resumed.validations == clean.validations
    for name, value in clean.weights.items():
        assert torch.equal(resumed.weights[name], value), name
