"""The table of trials names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows() -> list[list[str]]:
    """The cells of each row below the heads of the tables."""
    lines = (ROOT / "tests" / "trials" / "README.md").read_text(encoding="utf-8").splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [cells for cells in table if cells[0] != "trial" and set(cells[0]) != {"-"}]


def test_every_row_names_a_trial_what_is_expected_and_tests() -> None:
    assert len(rows()) >= 38
    for cells in rows():
        assert len(cells) == 3, cells
        assert all(cells), cells
        assert ", ".join(f"`{path}::{name}`" for path, name in TEST.findall(cells[2])) == cells[2]
    names = [cells[0] for cells in rows()]
    assert len(names) == len(set(names))


def test_every_named_test_exists() -> None:
    named = {pair for cells in rows() for pair in TEST.findall(cells[2])}
    assert len(named) > 60
    missing = [f"{path}::{name}" for path, name in sorted(named) if name not in functions_of(path)]
    assert not missing


def test_every_file_of_trials_is_in_the_table() -> None:
    named = {path for cells in rows() for path, _ in TEST.findall(cells[2])}
    there = {f"tests/trials/{path.name}" for path in (ROOT / "tests" / "trials").glob("test_*.py")}
    assert there - named == {"tests/trials/test_table.py"}


def functions_of(path: str) -> set[str]:
    if not (ROOT / path).is_file():
        return set()
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
