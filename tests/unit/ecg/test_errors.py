"""Each kind of error has the exit code that the design gives it."""

from __future__ import annotations

import pickle

import pytest

from hemometric import errors
from hemometric.errors import HemometricError

CODES = {
    "UsageError": 2,
    "DataRejectedError": 3,
    "IntegrityError": 4,
    "PrecheckError": 5,
    "ClusterError": 6,
    "StalledError": 7,
    "PrivacyError": 8,
    "InterruptedRunError": 130,
}


def test_the_codes_are_those_of_the_design_and_unique() -> None:
    kinds = {kind.__name__: kind.exit_code for kind in HemometricError.__subclasses__()}
    assert kinds == CODES
    assert len({HemometricError.exit_code, *kinds.values()}) == len(kinds) + 1


@pytest.mark.parametrize("name", CODES)
def test_an_error_travels_between_processes(name: str) -> None:
    error = getattr(errors, name)("one sentence")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == "one sentence"
