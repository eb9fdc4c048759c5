"""PTB-XL publishes each record at 500 and at 100 Hz: ours at 100 Hz must be theirs, shifted by one constant 1.2 ms."""

import os
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from hemometric.ecg import Recording
from hemometric.vendors import find, read
from hemometric.waveform import Preparation, prepare

LAG_S = 0.0012
EDGE = 50  # samples at 100 Hz


def advance(signal: np.ndarray, seconds: float, rate_hz: float) -> np.ndarray:
    """Shift by less than a sample through the phase of the spectrum, around the line that joins the ends."""
    num_samples = signal.shape[-1]
    line = signal[..., :1] + (signal[..., -1:] - signal[..., :1]) * np.linspace(0, 1, num_samples)
    turn = np.exp(2j * np.pi * np.fft.rfftfreq(num_samples, 1 / rate_hz) * seconds)
    return np.fft.irfft(np.fft.rfft(signal - line) * turn, num_samples) + line


def rms_microvolts(folder: Path, seconds: float) -> np.ndarray:
    """Root mean square difference of each lead of each record that lies in both folders, [record, lead]."""
    rows = []
    for source in find([folder / "records500"]):
        twin = Path(str(source.path).replace("records500", "records100").replace("_hr.hea", "_lr.hea"))
        fine = read(source)
        (coarse,) = (read(one) for one in find([twin]))
        assert isinstance(fine, Recording)
        assert isinstance(coarse, Recording)
        assert (fine.rate_hz, coarse.rate_hz) == (500.0, 100.0)
        ours, theirs = prepare(fine, Preparation()), prepare(coarse, Preparation())
        difference = (advance(ours, seconds, 100.0) - theirs)[:, EDGE:-EDGE]
        rows.append(1000 * np.sqrt(np.mean(difference.astype(np.float64) ** 2, axis=1)))
    return np.array(rows)


def test_the_bundled_records_agree() -> None:
    folder = Path(str(files("hemometric").joinpath("demo/data/ptbxl")))
    agreement = rms_microvolts(folder, LAG_S)
    assert agreement.shape == (6, 12)
    assert agreement.max() <= 10.0
    assert agreement.max() <= 5.0  # what the filter was designed for
    assert rms_microvolts(folder, 0.0).max() > 15.0  # without the shift they disagree: the measure is not blind


@pytest.fixture
def ptbxl() -> Path:
    folder = os.environ.get("HEMOMETRIC_DATA")
    if not folder:
        pytest.fail("HEMOMETRIC_DATA is not set: give the folder that holds ptbxl/records500 and ptbxl/records100")
    return Path(folder) / "ptbxl"


@pytest.mark.data
def test_all_records_agree(ptbxl: Path) -> None:
    agreement = rms_microvolts(ptbxl, LAG_S)
    assert len(agreement) >= 300
    assert agreement.max() <= 10.0, f"worst lead {agreement.max():.2f} microvolts"
    print(f"{len(agreement)} records: mean {agreement.mean():.2f}, worst lead {agreement.max():.2f} microvolts RMS")
