"""Cells that hold several codes with a likelihood each, as text: ``{'NORM': 100.0}`` or ``AF:80;LBBB``."""

from __future__ import annotations

import ast
import json
import math

MAX_CELL = 10_000
Likelihoods = dict[str, float | None]
"""From a code to its likelihood, None where it states none."""


def read_likelihoods(cell: str, separator: str = ";") -> Likelihoods | None:
    """Read one cell; None where it is neither form, or gives one code two likelihoods."""
    if len(cell) > MAX_CELL:
        return None
    if cell.lstrip().startswith("{"):
        return read_literal(cell)
    pairs = _pairs(cell, separator)
    return None if pairs is None else checked(pairs)


def read_literal(cell: str) -> Likelihoods | None:
    """Read a dictionary of Python or JSON, without ever evaluating it; None where it is none."""
    if len(cell) > MAX_CELL:
        return None
    try:
        value = ast.literal_eval(cell.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        try:
            value = json.loads(cell)
        except (ValueError, RecursionError):
            return None
    return checked(list(value.items())) if isinstance(value, dict) else None


def checked(pairs: list[tuple[object, object]]) -> Likelihoods | None:
    """Give likelihoods from 0 on; None where one is no such number, or a code has two."""
    found: Likelihoods = {}
    for code, value in pairs:
        name = str(code).strip()
        if not name:
            continue
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            return None
        likelihood = None if value is None else float(value)
        if likelihood is not None and not (math.isfinite(likelihood) and likelihood >= 0):
            return None
        if found.setdefault(name, likelihood) != likelihood:
            return None
    return found


def _pairs(cell: str, separator: str) -> list[tuple[object, object]] | None:
    pairs: list[tuple[object, object]] = []
    for part in cell.split(separator):
        code, colon, text = part.partition(":")
        try:
            pairs.append((code, float(text) if colon else None))
        except ValueError:
            return None
    return pairs
