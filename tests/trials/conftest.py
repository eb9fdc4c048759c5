"""Commands as a person gives them, in this process, with what they say and how they end; and archives to give them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

VENDOR_FILES = Path(__file__).parents[1] / "vendor_files"
SECRET = "0123456789abcdef" * 4
FORMATS: dict[str, Any] = {
    "csv": {"unit": "uV", "rate_hz": 500, "time": "time_ms", "time_unit": "ms"},
    "npy": {"unit": "mV", "rate_hz": 500, "axes": ["ecg", "lead", "sample"]},
    "columnar": {"unit": "uV", "rate": "hz", "signal": "ecg", "id": "exam", "patient": "mrn"},
}
"""What tests/vendor_files' arrays and tables, but for `arrow`, do not say themselves."""

ARROW_FORMATS: dict[str, Any] = {"columnar": {"unit": "mV", "rate_hz": 500, "patient": "mrn"}}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Ingested:
    """How an ingest ended, and what it left.

    Attributes
    ----------
    keys : dict
        From the id of each ECG that was found to the folder of the archive that its file lies in: each file of an
        archive of trials lies in a folder of its own, whose name says what was planted.
    """

    ended: Ended
    corpus: Path
    keys: dict[str, str]

    @property
    def counts(self) -> dict[str, Any]:
        counts: dict[str, Any] = json.loads((self.corpus / "manifest.json").read_text())["counts"]
        return counts

    def fates(self) -> dict[str, list[str]]:
        """From the name of a folder to ``accepted``, or the reason code, of each ECG in it, sorted."""
        fates: dict[str, list[str]] = {}
        refused = self._opened().quarantine().to_pylist()
        for row in [*refused, *self._opened().table(columns=["recording_id"]).to_pylist()]:
            fates.setdefault(self.keys[row["recording_id"]], []).append(row.get("reason", "accepted"))
        return {name: sorted(of_one) for name, of_one in fates.items()}

    def rows(self, *columns: str) -> dict[str, dict[str, Any]]:
        """From the name of a folder to the row of its accepted ECG; only one may lie there."""
        rows = self._opened().table(columns=["recording_id", *columns]).to_pylist()
        assert len({self.keys[row["recording_id"]] for row in rows}) == len(rows)
        return {self.keys[row["recording_id"]]: row for row in rows}

    def recordings(self) -> dict[str, Any]:
        """From the name of a folder to the accepted ECG in it."""
        return {self.keys[row["recording_id"]]: recording for row, recording in self._opened().recordings()}

    def _opened(self) -> Any:
        from hemometric.corpus import open_corpus

        return open_corpus(self.corpus)


@pytest.fixture
def hemometric(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run one command; whatever reaches the two streams is taken, whoever writes it."""
    from hemometric.cli import app, guarded

    def run(*words: object) -> Ended:
        capfd.readouterr()
        code = guarded(lambda: app(args=[str(word) for word in words], standalone_mode=False))
        shown = capfd.readouterr()
        return Ended(code, shown.out, shown.err)

    return run


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(SECRET)
    return path


@pytest.fixture
def ingest_words(tmp_path: Path, key_file: Path) -> Callable[..., list[str]]:
    """Words that ingest a folder without Ray; `fields` are those of ``ingest`` as YAML has them, a table not among."""

    def words(source: Path, out: Path, **fields: Any) -> list[str]:
        path = tmp_path / f"{out.name}.yaml"
        path.write_text(yaml.safe_dump({"job": "ingest", "workers": 0, "ingest": {"table": {"kind": "none"}} | fields}))
        return ["ingest", *map(str, (source, "--out", out, "--key", key_file, "--config", path))]

    return words


@pytest.fixture
def ingested(
    hemometric: Callable[..., Ended], ingest_words: Callable[..., list[str]], tmp_path: Path, key_file: Path
) -> Callable[..., Ingested]:
    """Ingest an archive of trials by the command."""
    from hemometric.config import decode
    from hemometric.corpus import load_or_create_key
    from hemometric.vendors import find
    from hemometric.vendors.formats_config import FormatsConfig
    from hemometric.vendors.guarded import GuardConfig, guarded_vendors

    def run(source: Path, out: str = "corpus", **fields: Any) -> Ingested:
        ended = hemometric(*ingest_words(source, tmp_path / out, **fields))
        formats = decode(FormatsConfig, fields.get("formats", {}))
        key = load_or_create_key(key_file)
        keys = [one.key for one in find([source], guarded_vendors(formats, GuardConfig()))]
        return Ingested(ended, tmp_path / out, {key.recording_id(one): one.split("/")[1] for one in keys})

    return run


@pytest.fixture(scope="session")
def formats() -> dict[str, dict[str, Any]]:
    """The fields of ``ingest.formats``, from the name of a format to those with which its file is read."""
    return {name: ARROW_FORMATS if name == "arrow" else FORMATS for name in _names()}


@pytest.fixture(scope="session")
def vendor_files() -> dict[str, ModuleType]:
    """The modules of tests/vendor_files, by the name of their format."""
    found = {}
    for name, path in _names().items():
        spec = importlib.util.spec_from_file_location(f"trial_file_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        found[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found[name])
    return found


def _names() -> dict[str, Path]:
    return {path.stem.replace("_", "-"): path for path in sorted(VENDOR_FILES.glob("*.py"))}


@pytest.fixture(scope="session")
def clean_ecgs() -> Callable[..., list[np.ndarray]]:
    """Synthetic ECGs without a flag, each of another patient: float64 [12, 5000] mV at 500 Hz."""
    from hemometric.ecg import LEADS, Recording
    from hemometric.synthesis import SynthesisConfig, generate
    from hemometric.waveform import Assessed, QualityConfig, assess

    def make(num: int, seed: int) -> list[np.ndarray]:
        found: list[np.ndarray] = []
        cohort = SynthesisConfig(num_patients=2 * num, visits_max=1, noise=0.5, seed=seed)
        for visit in generate(cohort):
            signal = np.rint(visit.signal.astype(np.float64) * 200) / 200
            one = Recording.from_millivolts(signal, key="key", rate_hz=500.0, leads=LEADS)
            result = assess(one, QualityConfig())
            if isinstance(result, Assessed) and not result.flags:
                found.append(signal)
            if len(found) == num:
                return found
        raise AssertionError(f"only {len(found)} of {num} ECGs are clean")

    return make
