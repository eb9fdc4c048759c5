"""What holds for each format that is read; the files are those of tests/vendor_files."""

import importlib.util
import os
import resource
import shutil
import time
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hemometric.ecg import LEADS, Recording, Rejected
from hemometric.vendors import VENDORS, Vendor, find, read_all
from hemometric.waveform import standard_leads

FILES = Path(__file__).parents[2] / "vendor_files"
RATE_HZ = 500.0
PERSON = {
    "patient_id": "MRN0815471",
    "name": "Canaria^Quxabella",
    "birth_date": date(1951, 3, 29),
    "age_years": 68,
    "sex": "female",
    "acquired": datetime(2019, 11, 5, 13, 37, 59),
    "serial": "SNDEV99X7",
    "note": "called Dr Zweistein about the son",
}
CANARIES = ("MRN0815471", "Canaria", "Quxabella", "1951", "29.03", "SNDEV99X7", "Zweistein", "2019", "13:37")
NUM_MUTATIONS = int(os.environ.get("HEMOMETRIC_MUTATIONS", "150"))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"vendor_file_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MODULES = {path.stem.replace("_", "-"): load(path) for path in sorted(FILES.glob("*.py"))}


def vendors_of(name: str) -> Sequence[Vendor]:
    configured = getattr(MODULES[name], "configured", None)
    return VENDORS if configured is None else (*VENDORS, configured())


def ecg() -> np.ndarray:
    """Twelve leads with the limb leads' identities, float64 [12, 2000] mV, on a grid of 5 microvolts."""
    draw = np.random.default_rng(5)
    time_s = np.arange(2000) / RATE_HZ
    beat = np.exp(-(((time_s % 0.8) - 0.3) ** 2) / 2e-4)
    eight = np.outer(draw.uniform(-1.5, 1.5, 8), beat) + 0.02 * draw.standard_normal((8, 2000))
    signal, _ = standard_leads(eight.astype(np.float32), ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"))
    return np.rint(signal.astype(np.float64) * 200) / 200


def write(name: str, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return MODULES[name].write(folder, ecg(), LEADS, RATE_HZ, PERSON)


def read_file(name: str, path: Path) -> list[Recording | Rejected]:
    vendors = vendors_of(name)
    return list(read_all(list(find([path], vendors)), vendors))


every_format = pytest.mark.parametrize("name", MODULES)


def test_each_reader_has_a_file() -> None:
    assert {vendor.name for vendor in VENDORS} <= set(MODULES)
    assert len({vendor.name for vendor in VENDORS}) == len(VENDORS)


@every_format
def test_what_was_written_is_read(name: str, tmp_path: Path) -> None:
    module = MODULES[name]
    found = read_file(name, write(name, tmp_path / "in"))
    assert len(found) == getattr(module, "ITEMS", 1)
    for factor, one in zip((1.0, 0.5), found, strict=False):
        assert isinstance(one, Recording), one
        assert one.source_format == name
        assert one.rate_hz == RATE_HZ
        signal, present = standard_leads(one.signal, one.leads)
        assert present.all()
        # A derived lead adds the rounding of two others.
        allowed = module.QUANTISATION_MV * np.where(np.isin(LEADS, one.leads), 1.001, 2.002)[:, None] + 1e-6
        assert signal.shape[1] == 2000
        assert (np.abs(signal - factor * ecg()) <= allowed).all()
        for field in ("patient_id", "age_years", "sex", "acquired"):
            stored = getattr(module, "STORED", ("patient_id", "age_years", "sex"))
            assert getattr(one, field) == (PERSON[field] if field in stored else None), field


@every_format
def test_only_its_own_reader_recognises_it(name: str, tmp_path: Path) -> None:
    path = write(name, tmp_path / "in")
    head = path.read_bytes()[:4096]
    assert [vendor.name for vendor in vendors_of(name) if vendor.sniff(path, head)] == [name]


@every_format
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_file_that_is_cut_is_refused_with_a_reason(name: str, share: float, tmp_path: Path) -> None:
    path = write(name, tmp_path / "in")
    target = max((file for file in path.parent.iterdir()), key=lambda file: file.stat().st_size)
    content = target.read_bytes()
    target.write_bytes(content[: int(share * len(content))])
    found = read_file(name, path)
    assert found
    for one in found:
        # A cut within samples that lie at the end of a file may leave some of its ECGs, or a valid rest.
        is_valid_rest = share >= 0.5 and not getattr(MODULES[name], "CHECKED", True)
        assert isinstance(one, Rejected) or is_valid_rest, (share, one)
    says_nothing(found)


@every_format
def test_flipped_bytes_end_in_a_reason_or_a_recording(name: str, tmp_path: Path) -> None:
    """Seeded, each within 5 s of processor time and all within 1 GB; `make fuzz` does ten thousand of each format."""
    path = write(name, tmp_path / "in")
    files = [file for file in sorted(path.parent.iterdir()) if file.is_file()]
    contents = {file: file.read_bytes() for file in files}
    draw = np.random.default_rng(7)
    held_kb, slowest_s = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0
    for _ in range(NUM_MUTATIONS):
        target = files[draw.integers(len(files))]
        content = bytearray(contents[target])
        # Half of the flips fall into the first kilobyte, where headers are.
        end = len(content) if draw.random() < 0.5 else min(1024, len(content))
        for _ in range(int(draw.integers(1, 9))):
            content[draw.integers(end)] = draw.integers(256)
        target.write_bytes(bytes(content))
        started = time.process_time()
        found = read_file(name, path)
        slowest_s = max(slowest_s, time.process_time() - started)
        assert found, "each file is accounted for"
        says_nothing(found)
        target.write_bytes(contents[target])
    assert slowest_s < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held_kb < 1 << 20


@every_format
def test_a_pipe_or_a_folder_of_that_name_is_no_file(name: str, tmp_path: Path) -> None:
    path = write(name, tmp_path / "in")
    path.unlink() if path.is_file() else shutil.rmtree(path)
    os.mkfifo(path)
    (one,) = read_file(name, path)
    assert isinstance(one, Rejected)


def says_nothing(found: Sequence[Recording | Rejected]) -> None:
    """Nothing of the person is in what may be logged."""
    for one in found:
        assert isinstance(one, Recording | Rejected)
        if isinstance(one, Rejected):
            assert not [canary for canary in CANARIES if canary in one.reason + one.detail], one.detail
            assert one.detail and one.reason.replace("_", "a").isalpha()
        else:
            one.signal  # noqa: B018 - can be computed
