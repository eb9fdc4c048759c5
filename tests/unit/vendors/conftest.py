"""Small WFDB records, written by the `wfdb` package or by hand."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from hemometric.ecg import LEADS, Recording, Rejected
from hemometric.vendors import find, read

with warnings.catch_warnings():
    # The package uses what pandas deprecates, when it is imported and when it writes, but not when it reads.
    warnings.simplefilter("ignore")
    import wfdb

WriteRecord = Callable[..., Path]
ReadOne = Callable[[Path], Recording | Rejected]


@pytest.fixture
def counts() -> np.ndarray:
    """Twelve random walks, int64 [sample, lead], within twelve bits."""
    walk = np.cumsum(np.random.default_rng(0).integers(-20, 21, (501, 12)), axis=0)
    return np.clip(walk, -2000, 2000)


@pytest.fixture
def write_record(tmp_path: Path, counts: np.ndarray) -> WriteRecord:
    """Write a record through the wfdb package, and return the path of its header."""

    def write(name: str = "zz7", storage: str | Sequence[str] = "16", samples: np.ndarray = counts, **changes) -> Path:
        num_leads = samples.shape[1]
        fields = {
            "fs": 500,
            "units": ["mV"] * num_leads,
            "sig_name": list(LEADS[:num_leads]),
            "adc_gain": [200.0 + lead for lead in range(num_leads)],
            "baseline": [3 * lead - 10 for lead in range(num_leads)],
            "fmt": [storage] * num_leads if isinstance(storage, str) else list(storage),
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wfdb.wrsamp(name, d_signal=samples, write_dir=str(tmp_path), **fields | changes)
        return tmp_path / f"{name}.hea"

    return write


@pytest.fixture
def write_text(tmp_path: Path) -> Callable[..., Path]:
    """Write a header of one's own words and a file of zeros, rec.dat, beside it."""

    def write(text: str | bytes, dat: bytes = bytes(24 * 100)) -> Path:
        header = tmp_path / "zz7.hea"  # a name that no sentence holds by chance
        header.write_bytes(text.encode() if isinstance(text, str) else text)
        (tmp_path / "rec.dat").write_bytes(dat)
        return header

    return write


@pytest.fixture
def read_one() -> ReadOne:
    """Read the record of a header as a user would: found first, then read."""

    def one(header: Path) -> Recording | Rejected:
        (source,) = find([header])
        return read(source)

    return one


@pytest.fixture
def refusal(read_one: ReadOne) -> Callable[[Path], str]:
    """Read a record that must be refused, and give the reason; the detail must not give the patient away."""

    def reason(header: Path) -> str:
        result = read_one(header)
        assert isinstance(result, Rejected), result
        assert result.detail
        assert header.stem not in result.detail
        assert str(header.parent) not in result.detail
        return result.reason

    return reason
