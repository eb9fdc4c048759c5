"""What the demo says last: where everything lies, and commands that work when they are pasted."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def closing_lines(out: Path) -> list[str]:
    """Give the paths of a finished demo and the next commands.

    Parameters
    ----------
    out : Path
        Folder of the demo, absolute.
    """
    hemometric, database = command("hemometric"), shlex.quote(f"sqlite:///{out / 'mlflow.db'}")
    found = (
        ("report", str(out / "report" / "report.html")),
        ("encoder", str(out / "runs" / "pretrain" / "model")),
        ("mPCWP model", str(out / "runs" / "tune" / "model")),
        ("embeddings", str(out / "embeddings")),
        ("metrics", f"{command('mlflow')} ui --backend-store-uri {database}"),
    )
    return [
        *(f"  {name:12} {what}" for name, what in found),
        "Further:",
        "  your own archive (--help says more):",
        f"    {hemometric} ingest YOUR_ECGS --out corpus",
        f"    {hemometric} pretrain --config configs/pretrain/laptop.yaml corpus=corpus out=runs/mine",
        "  the same on a cluster: cluster/README.md",
    ]


def command(name: str) -> str:
    """Give what to type in this folder for a command that is installed beside the running Python.

    That is its name alone where the shell finds this very one, as in an activated environment; else its path, relative
    where it lies below the current folder.
    """
    # Not resolved: the Python of an environment is a link to one that knows nothing of what is installed beside it.
    beside = Path(sys.executable).absolute().with_name(name)
    on_path = shutil.which(name)
    if not beside.exists() or (on_path is not None and Path(on_path).absolute() == beside):
        return name
    here = Path.cwd()
    return shlex.quote(str(beside.relative_to(here) if beside.is_relative_to(here) else beside))
