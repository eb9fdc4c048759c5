"""The examples in the documentation of this room."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import hemometric.distances as room

MODULES = [module.name for module in pkgutil.iter_modules(room.__path__)]
WITH_EXAMPLES = {"across_leads", "archive_search", "checks", "dtw", "independent_leads", "paths", "pointwise"}


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    found = doctest.testmod(importlib.import_module(f"{room.__name__}.{name}"))
    assert found.failed == 0
    assert (found.attempted > 0) == (name in WITH_EXAMPLES)
