"""Commands about patients' privacy: what must stand nowhere, what was refused, and where a key came from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hemometric.cli.ends import say

privacy_app = typer.Typer(help="Prove that patients' names and numbers stand nowhere.", no_args_is_help=True)
quarantine_app = typer.Typer(help="What an ingest refused, and the files that keys stand for.", no_args_is_help=True)

Debug = Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")]


@privacy_app.command("scan", epilog="Example: hemometric privacy scan corpus runs --canaries words.txt")
def privacy_scan(
    paths: Annotated[list[Path], typer.Argument(help="Corpora, run folders, databases: any folders and files.")],
    canaries: Annotated[
        Path | None,
        typer.Option(help="Names, numbers, birth dates, serials, one a line, that must stand nowhere; never repeated."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Search everything for words given in confidence; without them, check that corpora hold what they may.

    Words are found in text, file names, tables, databases and packed files, as they are or encoded; not in pixels.
    """
    if canaries is None:
        from hemometric.runs.privacy.corpus_check import check_corpora

        check_corpora(paths, say)
        return
    from hemometric.runs.privacy.scan import scan

    report = scan(paths, canaries)
    for line in report.lines:
        say(line)
    report.check()


@quarantine_app.command("list", epilog="Example: hemometric quarantine list corpus --reason truncated --keys")
def quarantine_list(
    corpus: Annotated[Path, typer.Argument(help="Folder of a corpus, or of one whose ingest ended early.")],
    reason: Annotated[str | None, typer.Option(help="Only what was refused for this reason code.")] = None,
    keys: Annotated[bool, typer.Option("--keys", help="List each recording's key with what is wrong.")] = False,
    debug: Debug = False,
) -> None:
    """Count what was refused by reason; with --keys, list it."""
    from hemometric.runs.quarantine import list_quarantine

    for line in list_quarantine(corpus, reason=reason, keys=keys):
        say(line)


@quarantine_app.command("locate", epilog="Example: hemometric quarantine locate 3f2a91 --corpus corpus")
def quarantine_locate(
    keys: Annotated[list[str] | None, typer.Argument(help="Keys of recordings, or unique beginnings of them.")] = None,
    reason: Annotated[
        str | None, typer.Option(help="All that --corpus refused for this reason code, such as truncated.")
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="Corpus whose table is searched first; then all of the key are.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Key file of the pseudonyms, as at the ingest.")] = None,
    debug: Debug = False,
) -> None:
    """Say which file a key stands for: path, item and format. The answer may name patients."""
    from hemometric.runs.quarantine import locate_sources

    for line in locate_sources(keys or (), reason=reason, corpus=corpus, key_file=key):
        say(line)
