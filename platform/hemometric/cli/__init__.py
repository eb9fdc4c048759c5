"""`hemometric …`: thin commands over `runs` and `runtime`; whatever goes wrong is one sentence and an exit code."""

from __future__ import annotations

import sys
from typing import NoReturn

from hemometric.cli.begins import main
from hemometric.cli.commands import app
from hemometric.cli.ends import guarded

__all__ = ["app", "guarded", "main", "run_job"]


def run_job(job: str) -> NoReturn:
    """Run one job from a script under jobs/: ``--config FILE`` and overrides come from the command line."""
    main([job, *sys.argv[1:]])
