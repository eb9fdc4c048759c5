"""`hemometric …`: thin commands over `runs` and `runtime`; whatever goes wrong is one sentence and an exit code.

The commands are loaded when they are first named: a signal that comes meanwhile finds `main` listening.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

from hemometric.cli.begins import main
from hemometric.cli.ends import guarded

if TYPE_CHECKING:
    from hemometric.cli.commands import app

__all__ = ["app", "guarded", "main", "run_job"]


def run_job(job: str) -> NoReturn:
    """Run one job from a script under jobs/: ``--config FILE`` and overrides come from the command line."""
    main([job, *sys.argv[1:]])


def __getattr__(name: str) -> Any:
    if name == "app":
        from hemometric.cli.commands import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
