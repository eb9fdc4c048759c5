"""Loads `tiny.py` and `ranks.py`, which are scripts as well, under names of their own."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def load(stem: str) -> ModuleType:
    name = f"hemometric_unit_learning_{stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{stem}.py"))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    return load("tiny")


@pytest.fixture(scope="session")
def ranks() -> ModuleType:
    return load("ranks")
