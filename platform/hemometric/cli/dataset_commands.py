"""Commands over whole corpora: written again in fewer shards, or without some recordings; merged, exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hemometric.cli.ends import say

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[FIELD=VALUE]...", help="Fields to set, such as shard_bytes=1000000000.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")]
_WORDS = {
    "corpus": "CORPUS",
    "corpora": "CORPORA",
    "selection.splits": "--split",
    "selection.columns": "--column",
    "selection.add_columns": "--add-column",
}
"""What is typed for a field, where it is not the option of its name."""
ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="A YAML file with these fields.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("compact", epilog="Example: hemometric compact corpus")(compact)
    app.command("merge", epilog="Example: hemometric merge corpus-north corpus-south --out corpus")(merge)
    app.command("remove", epilog="Example: hemometric remove corpus --patients withdrawn.txt")(remove)
    app.command("export", epilog="Example: hemometric export corpus --to hf --out dataset preparation.rate_hz=250")(
        export
    )


def compact(
    corpus: Annotated[Path, typer.Argument(help="Folder of a corpus.")],
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Write a corpus that grew by many small ingests again in shards of the usual size; no row changes."""
    from hemometric.runs import compact as job

    _run(job, job.CompactRun, {"corpus": str(corpus)}, overrides)


def merge(
    corpora: Annotated[
        list[str], typer.Argument(help="Folders of corpora of one key and config, then any field=value.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the new corpus.")],
    key: Annotated[Path | None, typer.Option(help="Key file of the pseudonyms, as at the ingests.")] = None,
    debug: Debug = False,
) -> None:
    """Make one corpus of several; every patient stays in one split."""
    from hemometric.runs import merge as job

    folders = [word for word in corpora if "=" not in word or Path(word).exists()]
    fields = {"corpora": folders, "out": str(out), "key": None if key is None else str(key)}
    _run(job, job.MergeRun, fields, [word for word in corpora if word not in folders])


def remove(
    corpus: Annotated[Path, typer.Argument(help="Folder of a corpus.")],
    keys: Annotated[list[str] | None, typer.Argument(help="Keys of recordings, as `quarantine list` has them.")] = None,
    patients: Annotated[
        Path | None, typer.Option(help="Text file of patients' ids, one a line, as the files or the table write them.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Key file of the pseudonyms, as at the ingest.")] = None,
    debug: Debug = False,
) -> None:
    """Take patients or recordings out for good; no later ingest reads these recordings again."""
    from hemometric.runs.remove import remove_recordings

    for line in remove_recordings(corpus, keys or (), patients=patients, key_file=key):
        say(line)


def export(
    corpus: Annotated[Path, typer.Argument(help="Folder of a corpus.")],
    overrides: Overrides = None,
    to: Annotated[str | None, typer.Option(help="parquet, hf, webdataset or npy.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write.")] = None,
    signals: Annotated[str | None, typer.Option(help="prepared (float32 mV, one length) or native (int16).")] = None,
    split: Annotated[list[str] | None, typer.Option(help="Only this split; may be given again.")] = None,
    has_label: Annotated[list[str] | None, typer.Option(help="Only where this label is known; again for more.")] = None,
    without_flag: Annotated[list[str] | None, typer.Option(help="Only without this flag; again for more.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Only this column beside ids and signal, instead of numbers, sex and flags; again for more."),
    ] = None,
    add_column: Annotated[
        list[str] | None,
        typer.Option(help="This column beside those that go along anyway, such as acquired; again for more."),
    ] = None,
    config: ConfigFile = None,
    debug: Debug = False,
) -> None:
    """Write recordings as Parquet, for Hugging Face datasets, as WebDataset tars, or as numpy arrays."""
    from hemometric.runs import export as job

    selection = {"splits": split, "has_label": has_label, "without_flag": without_flag}
    selection |= {"columns": column, "add_columns": add_column}
    named = {"corpus": str(corpus), "to": to, "out": None if out is None else str(out), "signals": signals}
    _run(job, job.ExportRun, named, overrides, config, selection)


def _run(
    job: Any,
    model: Any,
    fields: dict[str, Any],
    overrides: Sequence[str] | None,
    config: Path | None = None,
    selection: dict[str, Any] | None = None,
) -> None:
    """Decode and run; None and empty lists are options that were not given."""
    from hemometric.config import Options, decode
    from hemometric.config.yaml_reader import read_text, read_yaml
    from hemometric.runs.base import with_absolute_paths

    data, lines = read_yaml(read_text(config), source=str(config)) if config else ({}, {})
    given = {name: value for name, value in fields.items() if value}
    if chosen := {name: value for name, value in (selection or {}).items() if value}:
        held = data.get("selection")
        given |= {"selection": (held if isinstance(held, dict) else {}) | chosen}
    inner = {f"selection.{name}": value for name, value in (selection or {}).items()}
    options = Options.of(fields | inner, _WORDS)
    source = str(config or "options")
    decoded = decode(model, {**data, **given}, overrides or (), source=source, lines=lines, options=options)
    for line in job.run(with_absolute_paths(decoded)):
        say(line)
