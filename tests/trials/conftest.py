"""Commands as a person gives them, in this process, with what they say and how they end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def hemometric(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run one command; whatever reaches the two streams is taken, whoever writes it."""
    from hemometric.cli import app, guarded

    def run(*words: object) -> Ended:
        capfd.readouterr()
        code = guarded(lambda: app(args=[str(word) for word in words], standalone_mode=False))
        shown = capfd.readouterr()
        return Ended(code, shown.out, shown.err)

    return run
