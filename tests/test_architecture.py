"""The house as the design draws it: which room may import which, and what lies where."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "platform"
PACKAGE = SOURCE / "hemometric"

# Left to right: a room imports rooms further left only; rooms of one group do not import each other.
LINE: list[set[str]] = [
    {"errors"},
    {"ecg", "progress", "tracker"},
    {"config"},
    {"waveform", "distances", "synthesis"},
    {"vendors"},
    {"corpus"},
    {"batches", "encoders", "mining"},
    {"objectives", "views"},
    {"learning"},
    {"evaluation"},
    {"tracking"},
    {"runs"},
    {"runtime"},
    {"demo"},
    {"cli"},
]
PLACE = {room: place for place, rooms in enumerate(LINE) for room in rooms}
# `hemometric.load` is the package's own front door: imported when asked for, never on import.
FRONT_DOOR = "__init__"


def modules() -> list[Path]:
    found = sorted(PACKAGE.rglob("*.py"))
    assert len(found) > 60
    return found


def room_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[str, int, bool]]:
    """(module, line, at import time) of every import of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    typing_only = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and isinstance(test.test, ast.Name) and test.test.id == "TYPE_CHECKING"
        for node in ast.walk(test)
    }
    found = []
    for node in ast.walk(tree):
        early = id(node) not in inside | typing_only
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno, early) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            name = node.module or ""
            found.append((name, node.lineno, early))
            found += [(f"{name}.{alias.name}", node.lineno, early) for alias in node.names if name == "hemometric"]
    return found


def test_every_room_has_a_place() -> None:
    rooms = {room_of(path) for path in modules()} - {FRONT_DOOR}
    assert rooms == set(PLACE)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_left(path: Path) -> None:
    room = room_of(path)
    if room == FRONT_DOOR:
        return
    for name, line, _ in imports(path):
        parts = name.split(".")
        if parts[0] != "hemometric" or len(parts) == 1 or parts[1] == "__version__":
            continue
        target = parts[1]
        allowed = target == room or PLACE[target] < PLACE[room]
        assert allowed, f"{path}:{line}: {room} imports {target}, which lies to its right or beside it"


@pytest.mark.parametrize(("library", "home"), [("ray", "runtime"), ("mlflow", "tracking")])
def test_a_library_has_one_home(library: str, home: str) -> None:
    seen = False
    for path in modules():
        for name, line, early in imports(path):
            if name.split(".")[0] == library:
                seen = True
                assert room_of(path) == home, f"{path}:{line}: {library} outside of {home}"
                assert home != "tracking" or not early, f"{path}:{line}: mlflow is imported with the module"
    assert seen


def test_the_front_door_imports_nothing_early() -> None:
    assert not [
        name
        for name, _, early in imports(PACKAGE / "__init__.py")
        if early and name != "__future__" and name != "typing"
    ]


def test_the_source_root_is_no_package() -> None:
    assert not (SOURCE / "__init__.py").exists(), "it would shadow the standard library's platform module"


def test_the_top_level_is_the_one_of_the_design() -> None:
    import subprocess

    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    files = listed or [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if ".venv" not in path.parts]
    folders = {path.split("/")[0] for path in files if "/" in path and not path.startswith(".")}
    assert folders <= {"platform", "jobs", "configs", "cluster", "tests"} | {
        p for p in folders if p.endswith("-output")
    }


def test_jobs_are_short_and_named_after_their_job() -> None:
    scripts = sorted((ROOT / "jobs").glob("*.py"))
    assert {script.stem for script in scripts} == {
        "ingest",
        "neighbours",
        "pretrain",
        "finetune",
        "tune",
        "embed",
        "predict",
        "evaluate",
    }
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 40, script
        assert f'run_job("{script.stem}")' in text


def test_no_file_is_long() -> None:
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules()}
    assert not {name: lines for name, lines in long.items() if lines > 300}
