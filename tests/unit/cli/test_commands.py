"""Every command explains itself with an example that is one of its own; small commands answer in this process."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from hemometric import __version__
from hemometric.cli import app, guarded
from hemometric.cli.commands import JOBS, decode_job, launch
from hemometric.config import fingerprint
from hemometric.corpus import load_or_create_key
from hemometric.errors import HemometricError, UsageError
from hemometric.runs import catalogue

COMMAND: Any = typer.main.get_command(app)


def commands(group: Any, before: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if hasattr(command, "list_commands"):
            found |= commands(command, (*before, name))
        else:
            found[(*before, name)] = command
    return found


COMMANDS = commands(COMMAND)


def hemometric(*words: str) -> int:
    return guarded(lambda: app(args=list(words), standalone_mode=False))


def test_the_commands_are_those_of_the_design() -> None:
    others = {("verify",), ("inspect",), ("card",), ("synthesise",), ("submit",), ("demo",), ("config", "check")}
    privacy = {("privacy", "scan"), ("quarantine", "list"), ("quarantine", "locate")}
    others |= {("compact",), ("merge",), ("remove",), ("export",)}
    assert set(COMMANDS) == {(job,) for job in JOBS} | others | privacy | {("config", "show"), ("version",)}
    assert set(JOBS) == set(catalogue.JOBS) - {"synthesise"}


def test_a_key_is_made_where_the_help_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (option,) = (option for option in COMMANDS[("ingest",)].params if option.name == "key")
    assert option.help == "Key file of the pseudonyms; made in your config folder when none is given."
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with pytest.raises(UsageError, match="does not exist"):
        load_or_create_key(tmp_path / "other.key")
    assert not list(tmp_path.iterdir())
    assert load_or_create_key(None).path == tmp_path / "config" / "hemometric" / "pseudonym.key"


@pytest.mark.parametrize("path", sorted(COMMANDS), ids=" ".join)
def test_its_help_says_what_it_does_with_an_example_that_works(path: tuple[str, ...], capsys: Any) -> None:
    assert hemometric(*path, "--help") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    command = COMMANDS[path]
    assert command.help
    assert "Usage: " in shown.out
    example = command.epilog.removeprefix("Example: hemometric ")
    assert command.epilog.startswith("Example: hemometric " + " ".join(path))
    words = shlex.split(example)[len(path) :]
    command.make_context(path[-1], words)  # parsed, not run


def test_an_example_s_config_is_one_that_is_shipped() -> None:
    root = Path(__file__).parents[3]
    named = {
        word
        for command in COMMANDS.values()
        for word in shlex.split(command.epilog or "")
        if word.startswith("configs/")
    }
    assert len(named) >= 4
    assert not [name for name in named if not (root / name).is_file()]


def test_no_word_shows_help(capsys: Any) -> None:
    assert hemometric() in (0, 2)
    assert "Usage: " in "".join(capsys.readouterr())


def test_version(capsys: Any) -> None:
    assert hemometric("version") == 0
    assert capsys.readouterr().out == f"hemometric {__version__}\n"


def test_config_check_and_show(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("job: pretrain\ncorpus: c\nout: o\n")
    assert hemometric("config", "check", str(path)) == 0
    config = catalogue.decode(path)
    assert capsys.readouterr().out == f"{path}: a valid pretrain config, fingerprint {fingerprint(config)}\n"
    assert hemometric("config", "show", str(path), "batch_size=32", "mining.distance={kind: dtw, window: 25}") == 0
    shown = tmp_path / "shown.yaml"
    shown.write_text(capsys.readouterr().out)
    found = catalogue.decode(shown)
    assert (found.batch_size, found.mining.distance.window) == (32, 25)
    assert hemometric("config", "check", str(shown)) == 0


def test_options_and_overrides_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("model: m\ncorpus: c\nout: o\nworkers: 3\n")
    found = decode_job("embed", path, ["workers=0"], {"model": Path("other"), "corpus": None, "out": None})
    assert (found.model, found.corpus, found.workers) == (Path("other"), Path("c"), 0)
    with pytest.raises(UsageError, match=r"run.yaml: this is a config for 'embed'; run: hemometric embed --config "):
        path.write_text("job: embed\nmodel: m\ncorpus: c\nout: o\n")
        decode_job("predict", path, [], {})


def test_no_workers_runs_here_and_relative_paths_are_those_of_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from hemometric.runs import embed

    seen: list[Any] = []
    monkeypatch.setattr(embed, "run", lambda config: seen.append(config) or ["one line"])
    monkeypatch.chdir(tmp_path)
    launch(
        "embed", decode_job("embed", None, ["workers=0"], {"model": Path("m"), "corpus": Path("c"), "out": Path("o")})
    )
    assert (seen[0].model, seen[0].out) == (tmp_path / "m", tmp_path / "o")
    assert capsys.readouterr().out == "one line\n"


def raising(error: BaseException) -> Any:
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize("kind", HemometricError.__subclasses__())
def test_an_error_is_one_line_and_its_code(kind: type[HemometricError], capsys: Any) -> None:
    assert guarded(raising(kind("field x: wrong; do y"))) == kind.exit_code
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "hemometric: field x: wrong; do y\n")


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (KeyboardInterrupt(), 130, "hemometric: interrupted; the same command goes on where it stopped\n"),
        (
            ValueError("secret\nof Miller"),
            1,
            "hemometric: unexpected ValueError; run again with --debug to see where\n",
        ),
        (
            OSError(28, "No space left on device", "Miller.dat"),
            5,
            "hemometric: no room left on the disk (No space left on device); free some\n",
        ),
        (
            PermissionError(13, "Permission denied", "Miller.dat"),
            2,
            "hemometric: a file or folder cannot be used (Permission denied); --debug says which\n",
        ),
        (
            MemoryError(),
            5,
            "hemometric: no memory left; take fewer workers, or, in training, smaller batches or a smaller model\n",
        ),
    ],
)
def test_anything_else_is_one_line_too(error: BaseException, code: int, told: str, capsys: Any) -> None:
    assert guarded(raising(error)) == code
    assert capsys.readouterr().err == told


def test_debug_shows_the_traceback(capsys: Any) -> None:
    assert guarded(raising(UsageError("wrong")), debug=True) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("hemometric: wrong\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["embed", "--modle", "x"], "No such option: --modle"),
        (["verify"], "Missing argument 'corpus' (see --help)"),
        (["submit", "x"], "unknown job 'x'; known: ingest"),
    ],
)
def test_a_wrong_word_is_one_line(words: list[str], told: str, capsys: Any) -> None:
    assert hemometric(*words) == 2
    err = capsys.readouterr().err
    assert err.startswith("hemometric: ")
    assert told in err
    assert err.count("\n") == 1
