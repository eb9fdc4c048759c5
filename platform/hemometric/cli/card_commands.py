"""The command of the data card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hemometric.cli.ends import say

Debug = Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")]


def card(
    corpus: Annotated[Path, typer.Argument(help="Folder of a corpus.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write; CORPUS-card beside the corpus without it.")] = None,
    smallest_cell: Annotated[int, typer.Option(help="Counts of fewer patients than this are not shown.")] = 5,
    answers: Annotated[
        Path | None, typer.Option(help="YAML of what only people know: purpose, makers, consent, licence, ...")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Title on the card; the folder's name without it.")] = None,
    debug: Debug = False,
) -> None:
    """Write a data card: what a corpus holds, where it came from, and what to keep in mind, as a page and as text."""
    from hemometric.runs.card import write_card

    for line in write_card(corpus, out=out, least=smallest_cell, answers=answers, name=name):
        say(line)
