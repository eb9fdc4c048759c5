"""Phrases that several jobs say alike."""

from __future__ import annotations

from pathlib import Path


def counted(num: int, noun: str) -> str:
    """Give a number with its noun, such as ``1 shard`` and ``2 shards``."""
    return f"{num} {noun}" if num == 1 else f"{num} {noun}s"


def finished_already(out: Path) -> str:
    """Say that a folder holds what was asked for, so that its figures do not pass for those of a new run."""
    return f"{out} is finished already; nothing to do"


def short(value: object) -> str:
    """Write a setting, a float with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
