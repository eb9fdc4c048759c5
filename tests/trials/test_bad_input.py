"""What a person may give a command by mistake: one sentence, the right exit code, and nothing half written."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from hemometric.config import dump
from hemometric.corpus import open_corpus
from hemometric.corpus.own_files import MARK


@dataclass(frozen=True)
class Bench:
    """A folder to work in, whole things to spoil, and the configs of runs over them."""

    line: Any
    encoder: Path
    estimator: Path
    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def file(self, name: str, text: str = "") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def empty(self) -> Path:
        (self.folder / "empty").mkdir()
        return self.folder / "empty"

    def taken(self) -> Path:
        """A folder with somebody's work in it."""
        return self.file("taken/thesis.tex", "years of work").parent

    def corpus(self, change: Callable[[Path], None]) -> Path:
        shutil.copytree(self.line.labelled, self.folder / "corpus")
        change(self.folder / "corpus")
        return self.folder / "corpus"

    def model(self, change: Callable[[Path], None]) -> Path:
        shutil.copytree(self.estimator, self.folder / "model")
        change(self.folder / "model")
        return self.folder / "model"

    def run(self, job: str, /, **fields: Any) -> list[object]:
        """Words that run a job here and without tracking, its fields changed as YAML has them."""
        own = {"workers": 0} | ({} if job in ("ingest",) else {"tracking": {"kind": "none"}})
        base = yaml.safe_load(dump(getattr(self.line, job)(self.out, **own)))
        path = self.file(f"{job}.yaml", yaml.safe_dump(base | fields))
        return [job, "--config", path]

    def shardwise(
        self, job: str, model: Path | None = None, corpus: Path | None = None, out: Path | None = None
    ) -> Any:
        given = {"--model": model or self.estimator, "--corpus": corpus or self.line.labelled, "--out": out or self.out}
        return [job, *(word for pair in given.items() for word in pair), "workers=0"]

    def evaluate(self, **study: Any) -> list[object]:
        own = {"name": "s", "corpus": str(self.line.labelled), "encoder": str(self.encoder)}
        own |= {"tasks": [{"kind": "regression", "label": "mpcwp_mmhg"}]} | study  # type: ignore[dict-item]
        data = {"job": "evaluate", "out": str(self.out), "workers": 0, "num_resamples": 100, "studies": [own]}
        return ["evaluate", "--config", self.file("evaluate.yaml", yaml.safe_dump(data))]


def cut(name: str, *, keep: float = 0.5) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = next(iter(sorted(folder.rglob(name))))
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])

    return change


def flip(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = next(iter(sorted(folder.rglob(name))))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    return change


def drop(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        next(iter(sorted(folder.rglob(name)))).unlink()

    return change


def version(name: str, field: str) -> Callable[[Path], None]:
    """Another version, sealed as if it were whole."""

    def change(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        content[field] = 99
        text = json.dumps(content)
        (folder / name).write_text(text)
        (folder / "_SUCCESS").write_text(hashlib.sha256(text.encode()).hexdigest() + "\n")

    return change


def only_checkpoint_cut(bench: Bench) -> list[object]:
    """A run whose checkpoints are all damaged: going on would silently begin again."""
    from hemometric.errors import InterruptedRunError
    from hemometric.runs.pretrain import pretrain
    from hemometric.runs.training import Hooks, run_identity
    from hemometric.runs.training_run import run_folder

    config = bench.line.pretrain(bench.out, workers=0, tracking={"kind": "none"})
    identity = run_identity(config, open_corpus(config.corpus).hash)
    with run_folder(config, identity), pytest.raises(InterruptedRunError):
        pretrain(config, hooks=Hooks(stop=lambda: True))
    for path in (bench.out / "checkpoints").rglob("state.pt"):
        path.write_bytes(path.read_bytes()[:100])
    return bench.run("pretrain")


def key(bench: Bench, text: str, mode: int) -> Path:
    path = bench.file("key", text)
    path.chmod(mode)
    return path


def records(bench: Bench, name: str = "records", num: int = 3) -> Path:
    """A few of the cohort's records, without any table."""
    headers = sorted(bench.line.cohort.rglob("*.hea"))[:num]
    for header in headers:
        target = bench.folder / name / header.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(header, target)
        shutil.copy(header.with_suffix(".dat"), target.with_suffix(".dat"))
    return bench.folder / name


def broken(bench: Bench) -> Path:
    folder = records(bench)
    for path in folder.glob("*.dat"):
        path.write_bytes(path.read_bytes()[:100])
    return folder


def ingest(bench: Bench, *sources: object, key: Path | None = None, out: Path | None = None, **ingest: Any) -> Any:
    fields = {"table": {"kind": "none"}, "patients": "recording_is_patient"} | ingest
    path = bench.file("ingest.yaml", yaml.safe_dump({"job": "ingest", "workers": 0, "ingest": fields}))
    return ["ingest", *sources, "--out", out or bench.out, "--key", key or bench.line.key, "--config", path]


def columns(**names: Any) -> dict[str, Any]:
    return {"table": {"kind": "columns", "record": "record", "patient": "patient_id"} | names, "patients": "given"}


Case = tuple[str, int, Callable[[Bench], list[object]], str]
SEARCH = {"objective.alpha": {"kind": "uniform", "low": 0.1, "high": 1.0}}
CASES: list[Case] = [
    # configs
    ("config: no file", 2, lambda b: ["pretrain", "--config", b.folder / "no.yaml"], "no.yaml does not exist; give a"),
    ("config: a folder", 2, lambda b: ["pretrain", "--config", b.folder], "is a folder; give a YAML file"),
    ("config: empty", 2, lambda b: ["pretrain", "--config", b.file("e.yaml")], "expected a mapping"),
    (
        "config: not YAML",
        2,
        lambda b: ["tune", "--config", b.file("e.yaml", "a: [1\nb")],
        "e.yaml, line 2: this is not",
    ),
    ("config: tab", 2, lambda b: ["config", "check", b.file("e.yaml", "a:\n\tb: 1")], "line 2: this is not valid YAML"),
    ("config: no job", 2, lambda b: ["config", "show", b.file("e.yaml", "seed: 1")], "field 'job' is missing"),
    ("config: unknown job", 2, lambda b: ["config", "show", b.file("e.yaml", "job: x")], "unknown job 'x'; known:"),
    (
        "config: of another job",
        2,
        lambda b: ["finetune", *b.run("pretrain")[1:]],
        "this is a config for 'pretrain'; run: hemometric pretrain --config",
    ),
    ("pretrain: no config", 2, lambda b: ["pretrain"], "field 'corpus' is missing"),
    ("pretrain: unknown key", 2, lambda b: b.run("pretrain", batchsize=3), "did you mean 'batch_size'?"),
    ("pretrain: wrong type", 2, lambda b: b.run("pretrain", seed="x"), "field 'seed': input should be a valid integer"),
    ("pretrain: shuffle", 2, lambda b: [*b.run("pretrain"), 'shuffle="False"'], "unknown field 'shuffle'"),
    ("pretrain: bad override", 2, lambda b: [*b.run("pretrain"), "seed"], "write it as field.subfield=value"),
    # pretrain
    ("pretrain: no corpus", 2, lambda b: b.run("pretrain", corpus=str(b.folder / "no")), "no does not exist; make one"),
    ("pretrain: empty corpus", 2, lambda b: b.run("pretrain", corpus=str(b.empty())), "holds no corpus"),
    ("pretrain: batch too large", 2, lambda b: b.run("pretrain", batch_size=5000), "batch_size 5000: the training"),
    ("pretrain: batch not divisible", 2, lambda b: b.run("pretrain", workers=3), "take a multiple of 3"),
    (
        "pretrain: preparation fits nothing",
        3,
        lambda b: b.run("pretrain", preparation={"duration_s": 60, "pad": "refuse"}),
        "refuses every training and validation recording",
    ),
    ("pretrain: out is a file", 2, lambda b: b.run("pretrain", out=str(b.file("f"))), "cannot be written: File exists"),
    ("pretrain: out is taken", 2, lambda b: b.run("pretrain", out=str(b.taken())), "is not empty and holds no run"),
    (
        "pretrain: out unwritable",
        2,
        lambda b: b.run("pretrain", out="/proc/nope/out"),
        "/proc/nope/out cannot be written",
    ),
    ("pretrain: out of another run", 2, lambda b: b.run("pretrain", out=str(b.model(lambda _: None))), "is not empty"),
    ("pretrain: checkpoints cut", 4, only_checkpoint_cut, "checkpoints in"),
    ("pretrain: cache is a file", 2, lambda b: b.run("pretrain", cache=str(b.file("f"))), "f cannot be a folder"),
    (
        "pretrain: tracking is no address",
        2,
        lambda b: b.run("pretrain", tracking={"uri": "mlruns"}),
        "field 'tracking.uri': give an MLflow address",
    ),
    # finetune and tune
    (
        "finetune: no model",
        2,
        lambda b: b.run("finetune", model=str(b.folder / "no")),
        "no does not exist; give a model",
    ),
    (
        "finetune: no such label",
        2,
        lambda b: b.run("finetune", task={"kind": "regression", "label": "mpcwp"}),
        "the corpus has no label 'mpcwp'; it has: mpcwp_mmhg",
    ),
    (
        "finetune: label of codes",
        2,
        lambda b: b.run("finetune", corpus=str(b.line.real), task={"kind": "regression", "label": "superclasses"}),
        "'superclasses' holds codes",
    ),
    (
        "finetune: everyone on one side",
        2,
        lambda b: b.run(
            "finetune",
            task={"kind": "threshold", "label": "mpcwp_mmhg", "threshold": 59},
            objective={"task_loss": "bce"},
        ),
        "every training label of 'mpcwp_mmhg' lies on one side of it",
    ),
    ("finetune: loss of another task", 2, lambda b: b.run("finetune", objective={"task_loss": "bce"}), "take 'rmse'"),
    ("tune: no search", 2, lambda b: b.run("tune", search={}), "field 'search'"),
    ("tune: search is missing", 2, lambda b: ["tune", *b.run("finetune", job="tune")[1:]], "field 'search' is missing"),
    (
        "tune: unknown path",
        2,
        lambda b: b.run("tune", search={"objective.alhpa": SEARCH["objective.alpha"]}),
        "does not fit the config (search: unknown field 'objective.alhpa'; did you mean 'alpha'?)",
    ),
    (
        "tune: searches a place",
        2,
        lambda b: b.run("tune", search={"out": {"kind": "choice", "values": ["a", "b"]}}),
        "out",
    ),
    # embed and predict
    (
        "embed: no model",
        2,
        lambda b: b.shardwise("embed", model=b.folder / "no"),
        "no does not exist; give a model folder",
    ),
    (
        "embed: model is a file",
        2,
        lambda b: b.shardwise("embed", model=b.file("m")),
        "m is a file; give a model folder",
    ),
    ("embed: model is empty", 2, lambda b: b.shardwise("embed", model=b.empty()), "is no model folder"),
    (
        "embed: model.json cut",
        4,
        lambda b: b.shardwise("embed", model=b.model(cut("model.json"))),
        "model.json is damaged",
    ),
    (
        "embed: weights cut",
        4,
        lambda b: b.shardwise("embed", model=b.model(cut("encoder.safetensors"))),
        "encoder.safetensors is damaged or changed; copy the folder again",
    ),
    (
        "embed: a flipped bit",
        4,
        lambda b: b.shardwise("embed", model=b.model(flip("head.safetensors"))),
        "head.safetensors is damaged or changed",
    ),
    (
        "embed: no head file",
        4,
        lambda b: b.shardwise("embed", model=b.model(drop("head*"))),
        "head.safetensors is missing",
    ),
    ("embed: no marker", 4, lambda b: b.shardwise("embed", model=b.model(drop("_SUCCESS"))), "is incomplete: _SUCCESS"),
    (
        "embed: another format",
        2,
        lambda b: b.shardwise("embed", model=b.model(version("model.json", "format_version"))),
        "has format 99",
    ),
    ("embed: no corpus", 2, lambda b: b.shardwise("embed", corpus=b.folder / "no"), "no does not exist; make one with"),
    (
        "embed: another schema",
        2,
        lambda b: b.shardwise("embed", corpus=b.corpus(version("manifest.json", "schema_version"))),
        "has schema version 99",
    ),
    ("embed: out is a file", 2, lambda b: b.shardwise("embed", out=b.file("f")), "cannot be written: File exists"),
    ("embed: out is taken", 2, lambda b: b.shardwise("embed", out=b.taken()), "is not empty and holds no run"),
    ("embed: no out", 2, lambda b: ["embed", "--model", b.encoder, "--corpus", b.line.real], "field 'out' is missing"),
    ("embed: unknown split", 2, lambda b: [*b.shardwise("embed"), "splits=[tset]"], "field 'splits.0'"),
    ("embed: a negative width", 2, lambda b: [*b.shardwise("embed"), "workers=-1"], "field 'workers'"),
    ("predict: no head", 2, lambda b: b.shardwise("predict", model=b.encoder), "has no head; fine-tune or tune one"),
    (
        "predict: a shard is cut",
        4,
        lambda b: b.shardwise("predict", corpus=b.corpus(cut("part-*.parquet"))),
        "restore it",
    ),
    # corpora
    (
        "verify: nothing",
        2,
        lambda b: ["verify", b.folder / "no"],
        "no does not exist; make one with `hemometric ingest",
    ),
    ("verify: a file", 2, lambda b: ["verify", b.file("f")], "f is a file; give the folder"),
    ("verify: empty", 2, lambda b: ["verify", b.empty()], "holds no corpus"),
    ("verify: not finished", 2, lambda b: ["verify", b.corpus(drop("_SUCCESS"))], "is not finished; run the same"),
    ("verify: a shard is cut", 4, lambda b: ["verify", b.corpus(cut("part-*.parquet"))], "part-"),
    ("verify: a flipped bit", 4, lambda b: ["verify", b.corpus(flip("part-*.parquet"))], "part-"),
    ("verify: a shard is gone", 4, lambda b: ["verify", b.corpus(drop("part-*.parquet"))], "is missing; restore it"),
    ("verify: the manifest is cut", 4, lambda b: ["verify", b.corpus(cut("manifest.json"))], "manifest.json is not"),
    ("verify: quarantine flipped", 4, lambda b: ["verify", b.corpus(flip("quarantine.parquet"))], "quarantine.parquet"),
    (
        "inspect: another schema",
        2,
        lambda b: ["inspect", b.corpus(version("manifest.json", "schema_version"))],
        "has schema version 99 and this hemometric reads",
    ),
    ("inspect: no such recording", 2, lambda b: ["inspect", b.line.real, "--draw", "x"], "has no recording 'x'"),
    (
        "inspect: page of no kind",
        2,
        lambda b: ["inspect", b.line.real, "--draw", "first", "--out", b.folder / "page.doc"],
        "page.doc",
    ),
    # ingest
    ("ingest: nothing given", 2, lambda b: ["ingest", "--out", b.out], "field 'sources'"),
    ("ingest: no source", 2, lambda b: ingest(b, b.folder / "no"), "no"),
    ("ingest: empty folder", 2, lambda b: ingest(b, b.empty()), "empty"),
    ("ingest: no ECG", 2, lambda b: ingest(b, b.file("texts/a.txt", "hello").parent), "texts"),
    (
        "ingest: no key",
        2,
        lambda b: ingest(b, records(b), key=b.folder / "no"),
        "no does not exist; give an existing one",
    ),
    ("ingest: open key", 8, lambda b: ingest(b, records(b), key=key(b, "a" * 64, 0o644)), "is open to everyone"),
    (
        "ingest: short key",
        8,
        lambda b: ingest(b, records(b), key=key(b, "abc", 0o600)),
        "holds 3 bytes and a key needs",
    ),
    ("ingest: out is a file", 2, lambda b: ingest(b, records(b), out=b.file("f")), "f cannot be a folder"),
    ("ingest: out is taken", 2, lambda b: ingest(b, records(b), out=b.taken()), "holds other things (thesis.tex)"),
    (
        "ingest: out of another",
        2,
        lambda b: ingest(b, records(b), out=b.corpus(lambda _: None)),
        "was made with another config",
    ),
    ("ingest: all cut", 3, lambda b: ingest(b, broken(b)), "3 of 3 recordings were refused"),
    ("ingest: no patients", 3, lambda b: ingest(b, records(b), patients="given"), "3 of 3 recordings were refused"),
    ("ingest: no folds", 2, lambda b: ingest(b, records(b), split={"kind": "folds"}), "folds needs a table with folds"),
    (
        "ingest: no table",
        2,
        lambda b: ingest(b, records(b), **columns(path=str(b.folder / "no.csv"))),
        "no.csv does not exist",
    ),
    (
        "ingest: table without the column",
        2,
        lambda b: ingest(b, records(b), **columns(path=str(b.file("t.csv", "recrod,patient_id\na,b\n")))),
        "has no column 'record'; did you mean 'recrod'?",
    ),
    (
        "ingest: empty table",
        2,
        lambda b: ingest(b, records(b), **columns(path=str(b.file("t.csv")))),
        "has no column 'record'",
    ),
    (
        "ingest: a table of unknown columns",
        2,
        lambda b: ["ingest", "x", "--table", b.file("t.csv", "a,b\n")],
        "say which column holds",
    ),
    ("ingest: table is not there", 2, lambda b: ["ingest", "x", "--table", "t.csv"], "table t.csv does not exist"),
    # synthesise
    ("synthesise: out is a file", 2, lambda b: ["synthesise", "--out", b.file("f")], "f is a file"),
    (
        "synthesise: out is taken",
        2,
        lambda b: ["synthesise", "--out", b.taken()],
        "is not empty and holds no synthetic",
    ),
    ("synthesise: unknown key", 2, lambda b: ["synthesise", "--out", b.out, "cohort.patients=3"], "cohort.patients"),
    ("synthesise: too few visits", 2, lambda b: ["synthesise", "--out", b.out, "cohort.visits_max=0"], "visits_max"),
    # evaluate
    ("evaluate: no studies", 2, lambda b: ["evaluate", "out=x"], "field 'studies' is missing"),
    ("evaluate: no label", 2, lambda b: b.evaluate(tasks=[{"kind": "codes", "label": "x"}]), "has no label 'x'"),
    ("evaluate: no encoder", 2, lambda b: b.evaluate(encoder="no"), "no does not exist; give a model folder"),
    ("evaluate: head without head", 2, lambda b: b.evaluate(predictor=str(b.encoder)), "has no head"),
    ("evaluate: corpus cut", 4, lambda b: b.evaluate(corpus=str(b.corpus(cut("part-*.parquet")))), "part-"),
    # submit and demo
    ("submit: no job", 2, lambda b: ["submit", "x"], "unknown job 'x'; known: ingest"),
    ("submit: bad address", 2, lambda b: ["submit", *b.run("pretrain"), "--address", "ftp://x"], "address 'ftp://x'"),
    (
        "submit: no token",
        8,
        lambda b: ["submit", *b.run("pretrain"), "--address", "http://192.0.2.7:8265"],
        "192.0.2.7 is another machine and no token is set",
    ),
    ("demo: out is taken", 2, lambda b: ["demo", "--out", b.taken()], "is not empty and holds no demo"),
]


@pytest.fixture
def bench(line: Any, encoder: Path, estimator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.chdir(tmp_path)
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return Bench(line, encoder, estimator, tmp_path)


def state(folder: Path) -> dict[str, bytes]:
    """Every file, but the lock that a refused ingest leaves and what says whose a folder was going to be."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", MARK, ".identity", "config.yaml", "metrics.jsonl")
    }


@pytest.mark.parametrize(("code", "words", "told"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_bad_input_ends_in_one_sentence(
    bench: Bench, hemometric: Any, code: int, words: Callable[[Bench], list[object]], told: str
) -> None:
    given = words(bench)
    before = state(bench.folder)
    ended = hemometric(*given)
    assert ended.err.startswith("hemometric: "), ended
    assert told in ended.err, ended
    assert ended.code == code, ended
    lines = ended.err.splitlines()
    # A checkpoint that was passed over is warned of before the sentence; a test sees no such logs.
    assert len(lines) == 1, ended
    assert "Traceback" not in ended.err + ended.out
    assert "unexpected" not in lines[0]
    assert ended.out == ""
    after = state(bench.folder)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert not {name for name in changed if not may_stay(name)}, changed


def may_stay(name: str) -> bool:
    """What was finished before the error serves the next run, whole; the command's own result is not there."""
    finished = name.startswith(("out/staging/", "out/random-encoders/", "cache/"))
    finished |= name == "out/.sources"  # by which keys of a refused ingest lead to their files
    return finished or "/part-" in f"/{name}" or "/_part-" in name


def test_every_command_is_tried() -> None:
    tried = {case[0].partition(":")[0] for case in CASES}
    assert tried >= {"config", "ingest", "verify", "inspect", "synthesise", "pretrain", "finetune", "tune", "embed"}
    assert tried >= {"predict", "evaluate", "submit", "demo"}
    assert len({case[0] for case in CASES}) == len(CASES)
