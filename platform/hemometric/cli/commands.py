"""The commands: each decodes a config and hands it to `runs` or `runtime`."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hemometric import __version__
from hemometric.cli.card_commands import card
from hemometric.cli.dataset_commands import add_to
from hemometric.cli.ends import say
from hemometric.cli.privacy_commands import privacy_app, quarantine_app
from hemometric.errors import UsageError

JOBS = ("ingest", "neighbours", "pretrain", "finetune", "tune", "embed", "predict", "evaluate")

app = typer.Typer(
    help="Hospital ECG archives into embeddings and estimates of cardiac pressure. Research use; not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
config_app = typer.Typer(help="Check and show configs.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(privacy_app, name="privacy")
app.add_typer(quarantine_app, name="quarantine")

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FIELD=VALUE]...", help="Fields to set, such as mining.distance.window=0.1."),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="A YAML file such as those under configs/.")]
Model = Annotated[Path | None, typer.Option(help="A model folder.")]
Corpus = Annotated[Path | None, typer.Option(help="A corpus folder.")]
Out = Annotated[Path | None, typer.Option(help="Folder to write.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")]


def decode_job(
    job: str, config: Path | None, overrides: Sequence[str], fields: dict[str, Any], *, table: Path | None = None
) -> Any:
    """Read the config of a job from a file, named options and overrides; the later ones win.

    Of a `table` the overrides say where it is.
    """
    from hemometric.config import Options, decode
    from hemometric.config.yaml_reader import read_text, read_yaml
    from hemometric.runs import catalogue

    data, lines = read_yaml(read_text(config), source=str(config)) if config else ({}, {})
    given = {name: str(value) if isinstance(value, Path) else value for name, value in fields.items() if value}
    found = data.setdefault("job", job)
    if found != job:
        raise UsageError(f"{config}: this is a config for {found!r}; run: hemometric {found} --config {config}")
    options = Options.of({**fields, "ingest.table": table}, {"sources": "SOURCES"})
    source = str(config or "options")
    return decode(catalogue.config_of(job), {**data, **given}, overrides, source=source, lines=lines, options=options)


def launch(job: str, config: Any) -> None:
    """Run a job on Ray, or in this process where the config says ``workers: 0``."""
    from hemometric.runs.base import with_absolute_paths

    room = "runs" if config.workers == 0 else "runtime"
    summary = importlib.import_module(f"hemometric.{room}.{job}").run(with_absolute_paths(config))
    for line in summary:
        say(line)


@app.command(epilog="Example: hemometric ingest ptbxl/records500 --out corpus --table ptbxl/ptbxl_database.csv")
def ingest(
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="Folders, files or archives of ECGs, or addresses such as s3://…; then any field=value."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the corpus.")] = None,
    table: Annotated[Path | None, typer.Option(help="CSV or Parquet of labels; PTB-XL's is found by itself.")] = None,
    key: Annotated[
        Path | None, typer.Option(help="Key file of the pseudonyms; made in your config folder when none is given.")
    ] = None,
    config: ConfigFile = None,
    retry_quarantine: Annotated[
        bool, typer.Option("--retry-quarantine", help="Read again, too, what the corpus refused before.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; read a sample, and say what an ingest would do and cost.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Turn vendor files into a corpus: checked, pseudonymised, split by patient, hashed."""
    overrides = [word for word in sources or [] if "=" in word and not _exists(word) and not _is_address(word)]
    paths = [word for word in sources or [] if word not in overrides]
    fields = {"sources": paths, "out": out, "key": key, "retry_quarantine": retry_quarantine}
    decoded = decode_job("ingest", config, [*_table(table, config), *overrides], fields, table=table)
    if dry_run:
        estimate(decoded)
    else:
        launch("ingest", decoded)


def estimate(config: Any) -> None:
    """Say what an ingest would do and cost."""
    from hemometric.runs.base import with_absolute_paths
    from hemometric.runs.ingest_estimate import run

    for line in run(with_absolute_paths(config)):
        say(line)


@app.command(epilog="Example: hemometric verify corpus")
def verify(corpus: Annotated[Path, typer.Argument(help="Folder of a corpus.")], debug: Debug = False) -> None:
    """Hash every file of a corpus again and check what its manifest promises."""
    from hemometric.runs.inspect import verify_corpus

    for line in verify_corpus(corpus):
        say(line)


@app.command(epilog="Example: hemometric inspect corpus --draw first --neighbours runs/neighbours --out near.png")
def inspect(
    corpus: Annotated[Path, typer.Argument(help="Folder of a corpus.")],
    draw: Annotated[str | None, typer.Option(help="Recording id, or 'first', to draw as a 12-lead page.")] = None,
    neighbours: Annotated[
        Path | None,
        typer.Option(help="Output of hemometric neighbours, or its table: draw the recording's nearest."),
    ] = None,
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("ecg.png"),
    debug: Debug = False,
) -> None:
    """Print counts, quality and split; draw a recording as a clinical page (25 mm/s, 10 mm/mV), or its neighbours."""
    from hemometric.runs.inspect import inspect_corpus

    for line in inspect_corpus(corpus, draw=draw, out=out, neighbours=neighbours):
        say(line)


app.command(epilog="Example: hemometric card corpus --answers answers.yaml")(card)


@app.command(epilog="Example: hemometric synthesise --out cohort num_patients=500 seed=7")
def synthesise(
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Folder of WFDB files and labels.csv.")] = None,
    config: ConfigFile = None,
    debug: Debug = False,
) -> None:
    """Write a synthetic 12-lead cohort with a planted mPCWP, and say how well it can be estimated at best."""
    from hemometric.runs import synthesise as run

    for line in run.run(decode_job("synthesise", config, overrides or [], {"out": out})):
        say(line)


_CONFIG_JOBS = {
    "neighbours": (
        "Find the nearest recordings of every recording by an exact distance, as one table (Ray Data).",
        "--config configs/neighbours/beats.yaml corpus=corpus out=runs/neighbours",
    ),
    "pretrain": (
        "Pretrain an encoder by metric learning on DTW-mined triplets (Ray Train).",
        "--config configs/pretrain/laptop.yaml corpus=corpus out=runs/pretrain",
    ),
    "finetune": (
        "Train a supervised head: alpha x metric + task (Ray Train).",
        "--config configs/finetune/mpcwp.yaml model=runs/pretrain/model",
    ),
    "tune": (
        "Search margin, alpha and embedding size for the supervised head (Ray Tune, Optuna, ASHA).",
        "--config configs/tune/mpcwp.yaml num_trials=20",
    ),
    "embed": (
        "Write the embedding of every recording to Parquet (Ray Data).",
        "--model runs/pretrain/model --corpus corpus --out embeddings",
    ),
    "predict": (
        "Write the estimate of every recording (mmHg, or a probability) to Parquet (Ray Data).",
        "--model runs/tune/model --corpus corpus --out predictions",
    ),
    "evaluate": (
        "Score models beside their controls, with patient-level intervals, into one HTML report.",
        "--config configs/evaluate/laptop.yaml",
    ),
}
"""Jobs whose command line is a config and overrides: what each does, and an example."""


def _plain(job: str) -> Callable[..., None]:
    def command(overrides: Overrides = None, config: ConfigFile = None, debug: Debug = False) -> None:
        launch(job, decode_job(job, config, overrides or [], {}))

    return command


def _shardwise(job: str) -> Callable[..., None]:
    def command(
        overrides: Overrides = None,
        model: Model = None,
        corpus: Corpus = None,
        out: Out = None,
        config: ConfigFile = None,
        debug: Debug = False,
    ) -> None:
        launch(job, decode_job(job, config, overrides or [], {"model": model, "corpus": corpus, "out": out}))

    return command


for _job, (_does, _example) in _CONFIG_JOBS.items():
    _made = _shardwise if _job in ("embed", "predict") else _plain
    app.command(_job, help=_does, epilog=f"Example: hemometric {_job} {_example}")(_made(_job))


add_to(app)


@app.command(epilog="Example: hemometric submit pretrain --config configs/pretrain/gpu.yaml --address http://head:8265")
def submit(
    job: Annotated[str, typer.Argument(help=f"One of: {', '.join(JOBS)}.")],
    overrides: Overrides = None,
    address: Annotated[str, typer.Option(help="The cluster's dashboard.")] = "http://127.0.0.1:8265",
    config: ConfigFile = None,
    follow: Annotated[bool, typer.Option(help="Show the job's log until it ends.")] = True,
    debug: Debug = False,
) -> None:
    """Send a job to a running Ray cluster, follow its log, and end as it ends."""
    if job not in JOBS:
        raise UsageError(f"unknown job {job!r}; known: {', '.join(JOBS)}")
    decoded = decode_job(job, config, overrides or [], {})
    from hemometric.runtime.submit import submit as send

    send(job, decoded, address=address, follow=follow, say=say)


@app.command(epilog="Example: hemometric demo --out demo-output")
def demo(
    out: Annotated[Path, typer.Option(help="Folder of everything that the demo makes.")] = Path("demo-output"),
    debug: Debug = False,
) -> None:
    """Run the whole line on bundled real ECGs and a synthetic labelled cohort, in minutes."""
    from hemometric.demo.steps import run

    run(out, say)


@config_app.command("check", epilog="Example: hemometric config check configs/pretrain/laptop.yaml")
def config_check(file: Path, overrides: Overrides = None, debug: Debug = False) -> None:
    """Check a config and print its fingerprint."""
    from hemometric.config import fingerprint
    from hemometric.runs import catalogue

    config = catalogue.decode(file, overrides or [])
    say(f"{file}: a valid {config.job} config, fingerprint {fingerprint(config)}")


@config_app.command("show", epilog="Example: hemometric config show configs/pretrain/laptop.yaml batch_size=32")
def config_show(file: Path, overrides: Overrides = None, debug: Debug = False) -> None:
    """Print a config with every field resolved."""
    from hemometric.config import dump
    from hemometric.runs import catalogue

    say(dump(catalogue.decode(file, overrides or [])).removesuffix("\n"))


@app.command(epilog="Example: hemometric version")
def version() -> None:
    """Print the version."""
    say(f"hemometric {__version__}")


def _is_address(word: str) -> bool:
    return "://" in word.partition("=")[0]


def _exists(word: str) -> bool:
    try:
        return Path(word).exists()
    except OSError:  # longer than any file's name
        return False


def _table(table: Path | None, config: Path | None) -> list[str]:
    """Say where the table is; what its columns mean is known for PTB-XL's, and a config's affair for any other."""
    if table is None:
        return []
    if not table.is_file():
        raise UsageError(f"table {table} does not exist; give a CSV or Parquet file")
    if table.name != "ptbxl_database.csv" and config is None:
        raise UsageError(
            f"table {table}: say which column holds what in a config (configs/ingest/synthetic.yaml shows how) and "
            "give it with --config"
        )
    return [*(["ingest.table.kind=ptbxl"] if config is None else []), f"ingest.table.path={json.dumps(str(table))}"]
