"""The data card of a corpus, as a page and as text."""

from __future__ import annotations

from pathlib import Path

from hemometric.config import decode_file
from hemometric.corpus import open_corpus
from hemometric.corpus.files import usable
from hemometric.errors import UsageError
from hemometric.evaluation import write_report
from hemometric.evaluation.atomic import write_whole
from hemometric.evaluation.datacard import LEAST, Answers, SmallCells, count_corpus, data_card
from hemometric.evaluation.markdown import render_markdown

PAGE, TEXT = "card.html", "card.md"


def write_card(
    path: Path, *, out: Path | None = None, least: int = LEAST, answers: Path | None = None, name: str | None = None
) -> list[str]:
    """Write ``card.html`` and ``card.md`` of a corpus; equal corpora give equal bytes.

    Parameters
    ----------
    out : Path, optional
        Folder to write into; else ``<corpus>-card`` beside the corpus, which must hold nothing but itself.
    least : int
        Patients that a cell needs to be shown.
    answers : Path, optional
        YAML with the fields of `Answers`.
    name : str, optional
        What the corpus is called on its card; else as its folder.

    Raises
    ------
    UsageError
        There is no corpus, `out` cannot be written or lies in the corpus, or the answers have an unknown field.
    IntegrityError
        A file of the corpus is missing or damaged.
    PrecheckError
        The disk is full.
    """
    if least < 0:
        raise UsageError(f"smallest-cell: {least} is below 0; give the patients that a cell needs to be shown")
    corpus = open_corpus(path)
    place = path.resolve()
    folder = place.with_name(f"{place.name}-card") if out is None else out
    if folder.resolve().is_relative_to(place):
        raise UsageError(f"out: {folder} lies in the corpus, which must hold nothing else; choose another place")
    told = Answers() if answers is None else decode_file(Answers, answers)
    report = data_card(count_corpus(corpus), name or place.name, SmallCells(least), told)
    with usable(folder, "out"):
        write_whole(folder / TEXT, render_markdown(report).encode())
        write_report(report, folder / PAGE)
    return [f"data card: {folder / PAGE}", f"as text: {folder / TEXT}"]
