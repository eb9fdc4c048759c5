"""Every config that is shipped decodes, survives being written, and says how to run it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import typer

import hemometric.demo
from hemometric.cli import app
from hemometric.config import dump, fingerprint
from hemometric.runs import catalogue

ROOT = Path(__file__).parents[3]
DEMO = Path(hemometric.demo.__file__).parent / "configs"
SHIPPED = sorted([*(ROOT / "configs").rglob("*.yaml"), *DEMO.rglob("*.yaml")])


def test_they_were_found() -> None:
    assert len(SHIPPED) >= 17
    assert {path.parent.name for path in (ROOT / "configs").rglob("*.yaml")} == set(catalogue.JOBS)
    assert not list((ROOT / "configs").rglob("*.yml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_shipped_config_decodes_and_survives_being_written(path: Path, tmp_path: Path) -> None:
    config = catalogue.decode(path)
    written = tmp_path / "written.yaml"
    written.write_text(dump(config), encoding="utf-8")
    again = catalogue.decode(written)
    assert again == config
    assert fingerprint(again) == fingerprint(config)
    if DEMO not in path.parents:
        assert config.job == path.parent.name


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_its_first_line_is_the_command_that_runs_it(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# hemometric ")
    words = shlex.split(first.removeprefix("#"), comments=True)[1:]
    command = typer.main.get_command(app)
    found = command.get_command(typer.Context(command), words[0])  # type: ignore[attr-defined]
    assert found is not None, words[0]
    if DEMO in path.parents:
        assert words == ["demo"]
        return
    assert words[words.index("--config") + 1] == str(path.relative_to(ROOT))
    assert catalogue.decode(path).job in words
    # Its words are ones that the command takes; nothing is run.
    found.make_context(words[0], words[1:])
