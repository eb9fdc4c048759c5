"""Every job has a pulse: each script under jobs/ runs each shipped config of its kind, made tiny, in this process."""

import json
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hemometric.encoders import load
from hemometric.mining.neighbour_graph import read_graph
from hemometric.runs import catalogue
from hemometric.runs.shardwise import read_output

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "configs").rglob("*.yaml"))
DEMO = sorted((ROOT / "platform" / "hemometric" / "demo" / "configs").rglob("*.yaml"))
NAMES = [str(path.relative_to(ROOT)) for path in SHIPPED + DEMO]
ARCHIVES = [path for path in SHIPPED if path.parent.name == "ingest" and path.stem not in ("ptbxl", "synthetic")]
"""Configs for files and tables that only those who have them can read."""

SCRIPTS = sorted(path.stem for path in (ROOT / "jobs").glob("*.py"))

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def same_signals() -> Iterator[None]:
    """The command line takes SIGTERM for itself; this process wants it back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_each_job_has_a_script_and_a_config() -> None:
    assert len(SHIPPED) >= 9
    assert len(DEMO) >= 6
    assert set(SCRIPTS) == set(catalogue.JOBS) - {"synthesise"}
    assert {catalogue.decode(path).job for path in SHIPPED} == set(catalogue.JOBS)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_config_decodes_and_begins_with_its_command(name: str) -> None:
    path = ROOT / name
    config = catalogue.decode(path)
    first = path.read_text(encoding="utf-8").splitlines()[0]
    if path in DEMO:
        assert first.startswith("# hemometric demo")
    else:
        assert first.startswith((f"# hemometric {config.job} --config {name}", f"# hemometric submit {config.job} "))
        assert f"--config {name}" in first
        assert path.parent.name == config.job


def test_configs_of_archives_run_on_tables_of_their_shape() -> None:
    tried = (ROOT / "tests" / "unit" / "corpus" / "test_ready_configs.py").read_text(encoding="utf-8")
    assert ARCHIVES
    assert [path.stem for path in ARCHIVES if f'ready("{path.stem}"' not in tried] == []


@pytest.mark.parametrize("name", [str(path.relative_to(ROOT)) for path in SHIPPED + DEMO if path not in ARCHIVES])
def test_a_job_runs_its_shipped_config(
    name: str,
    line: Any,
    encoder: Path,
    estimator: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = catalogue.decode(ROOT / name)
    out = tmp_path / "out"
    fields = {"out": out} | _small(config, line, encoder, estimator, tmp_path)
    words = [f"{field}={json.dumps(value, default=str)}" for field, value in fields.items()]
    code = _run(config.job, ["--config", str(ROOT / name), *words], monkeypatch)
    told = capsys.readouterr()
    assert code == 0, told.err
    assert told.out.strip()
    _CHECKS[config.job](out)


def _run(job: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    script = ROOT / "jobs" / f"{job}.py"
    monkeypatch.setattr(sys, "argv", [str(script), *words])
    with pytest.raises(SystemExit) as ended:
        if script.exists():
            runpy.run_path(str(script), run_name="__main__")
        else:
            from hemometric.cli import main

            main([job, *words])
    return int(ended.value.code or 0)


def _small(config: Any, line: Any, encoder: Path, estimator: Path, tmp_path: Path) -> dict[str, Any]:
    """Overrides that leave a config its kinds and take away its size."""
    here: dict[str, Any] = {"workers": 0}
    training = here | {"batch_size": 8, "num_steps": 2, "cache": line.cache, "tracking.kind": "none"}
    training |= {"validate_every_steps": 1, "schedule": {"kind": "constant"}, "corpus": line.labelled}
    if config.job == "synthesise":
        return {"cohort.num_patients": 3, "num_draws": 100}
    if config.job == "ingest":
        real = config.ingest.table.kind == "ptbxl"
        bundled = ROOT / "platform" / "hemometric" / "demo" / "data" / "ptbxl" / "records100"
        folds = {"kind": "folds", "train": [1, 2, 3, 4, 5], "validation": [6], "test": [7]}
        fields = here | {"key": line.key, "sources": [bundled if real else line.cohort]}
        return fields | (
            {"ingest.split": folds}
            if real
            else {"ingest.table.path": line.cohort / "labels.csv", "ingest.table.labels": _LABELS}
        )
    if config.job == "pretrain":
        narrow: dict[str, Any] = {"encoder.embedding_dim": 8}
        if config.encoder.kind == "resnet1d":
            narrow |= {"encoder.blocks": [1, 1], "encoder.widths": [4, 8]}
        if config.objective.kind == "landmark":
            narrow |= {"objective.num": 8}
        if config.mining.graph is not None:
            narrow |= {"mining.graph.path": _graph(config, line, tmp_path)}
        return training | narrow | {"corpus": line.real, "gpus_per_worker": None}
    if config.job == "neighbours":
        few = {"candidates.num": 12} if config.candidates.kind == "coarse" else {}
        return here | few | {"corpus": line.real, "preparation": {"rate_hz": 100, "duration_s": 4}}
    if config.job == "finetune":
        return training | {"model": encoder}
    if config.job == "tune":
        trials = {"num_trials": 2, "trial_steps": 2, "halving": {"first_rung_steps": 1, "factor": 2}}
        return training | {"model": encoder} | trials
    if config.job in ("embed", "predict"):
        return here | {"model": encoder if config.job == "embed" else estimator, "corpus": line.labelled}
    fields = here | {"pretrain": encoder.parent, "tune": _tuned(line, encoder, tmp_path), "num_resamples": 100}
    for number, study in enumerate(config.studies):
        fields |= {f"studies.{number}.encoder": encoder}
        fields |= {f"studies.{number}.corpus": line.real if study.tasks[0].kind == "codes" else line.labelled}
        if study.predictor is not None:
            fields |= {f"studies.{number}.predictor": estimator, f"studies.{number}.reachable": None}
    return fields


_LABELS = {"mpcwp_mmhg": {"column": "mpcwp_mmhg", "kind": "number", "unit": "mmHg", "low": -5, "high": 60}}


def _graph(config: Any, line: Any, tmp_path: Path) -> Path:
    from hemometric.runs import neighbours

    measure = {
        "preparation": config.preparation,
        "compared": config.mining.compared,
        "distance": config.mining.distance,
    }
    plain = {name: part.model_dump(mode="json") for name, part in measure.items()}
    neighbours.run(line.made("neighbours", plain | {"corpus": line.real, "out": tmp_path / "graph", "workers": 0}))
    return tmp_path / "graph" / neighbours.TABLE


def _tuned(line: Any, encoder: Path, tmp_path: Path) -> Path:
    from hemometric.runs import tune

    tune.run(line.tune(tmp_path / "tuned", workers=0, model=encoder, num_trials=2, num_steps=4))
    return tmp_path / "tuned"


def _has_model(out: Path) -> None:
    load(out / "model")


def _has_rows(out: Path) -> None:
    assert read_output(out).num_rows == 94


def _has_report(out: Path) -> None:
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") + page.count("<svg") >= 3
    assert "http://" not in page.replace("http://www.w3.org", "")


def _has_corpus(out: Path) -> None:
    from hemometric.corpus import verify

    assert verify(out).counts.accepted in (94, 139)


def _has_cohort(out: Path) -> None:
    assert len(list(out.rglob("*.hea"))) >= 3
    assert (out / "reachable.json").is_file()


def _has_neighbours(out: Path) -> None:
    assert read_graph(out / "neighbours.parquet").starts[-1] >= 900


_CHECKS = {
    "synthesise": _has_cohort,
    "ingest": _has_corpus,
    "neighbours": _has_neighbours,
    "pretrain": _has_model,
    "finetune": _has_model,
    "tune": _has_model,
    "embed": _has_rows,
    "predict": _has_rows,
    "evaluate": _has_report,
}

_WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "mlflow"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from hemometric.cli import app, guarded

for job in sys.argv[1:]:
    name, config = job.split("=", 1)
    code = guarded(lambda: app(args=[name, "--config", config], standalone_mode=False), debug=True)
    if code:
        sys.exit(code)
assert not {"ray", "mlflow"} & set(sys.modules)
print("all without")
"""


def test_one_process_needs_neither_ray_nor_mlflow(line: Any, tmp_path: Path) -> None:
    from hemometric.config import dump

    configs = [
        line.ingest(tmp_path / "corpus", workers=0),
        line.pretrain(tmp_path / "pretrain", workers=0, num_steps=4),
        line.finetune(tmp_path / "finetune", workers=0, num_steps=4, model=tmp_path / "pretrain" / "model"),
        line.tune(tmp_path / "tune", workers=0, num_steps=4, num_trials=2),
        line.shardwise("embed", tmp_path / "pretrain" / "model", tmp_path / "embed", workers=0),
        line.shardwise("predict", tmp_path / "finetune" / "model", tmp_path / "predict", workers=0),
    ]
    words = []
    for config in configs:
        path = tmp_path / f"{config.job}.yaml"
        path.write_text(dump(config), encoding="utf-8")
        words.append(f"{config.job}={path}")
    ended = subprocess.run(
        [sys.executable, "-c", _WITHOUT, *words], capture_output=True, text=True, timeout=200, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stdout.strip().endswith("all without")
    _has_rows(tmp_path / "embed")
    _has_rows(tmp_path / "predict")
