"""Our own error is found wherever Ray has put it; whatever else went wrong is the cluster's."""

from __future__ import annotations

import pytest

from hemometric.errors import ClusterError, IntegrityError, PrecheckError, UsageError
from hemometric.runtime.failures import translated, unwrapped


class WrappedError(Exception):
    """As Ray's own errors hold others."""

    def __init__(self, message: str, **held: object) -> None:
        super().__init__(message)
        self.__dict__.update(held)


def raised_from(cause: BaseException) -> Exception:
    error = RuntimeError("outer")
    error.__cause__ = cause
    return error


OURS = IntegrityError("shard 3 is damaged")


@pytest.mark.parametrize(
    "error",
    [
        OURS,
        raised_from(OURS),
        raised_from(raised_from(OURS)),
        WrappedError("task", cause=OURS),
        WrappedError("train", worker_failures={0: RuntimeError("x"), 1: WrappedError("inner", cause=OURS)}),
        WrappedError("trainer", _base_exc=OURS),
        WrappedError("controller", controller_failure=raised_from(OURS)),
    ],
)
def test_our_error_is_found(error: Exception) -> None:
    assert translated(error) is OURS


def test_an_error_in_a_circle_ends() -> None:
    one, other = WrappedError("one"), WrappedError("other")
    one.__dict__["cause"], other.__dict__["cause"] = other, one
    assert isinstance(translated(one), ClusterError)


def test_anything_else_is_the_clusters_and_can_be_resumed() -> None:
    found = translated(ValueError("first line\nsecond line " + "x" * 999))
    assert type(found) is ClusterError
    assert str(found) == ("the cluster gave up (ValueError: first line); the same command goes on where it stopped")
    assert "no message" in str(translated(ValueError()))
    assert len(str(translated(ValueError("y" * 9999)))) < 400


def test_a_worker_without_memory_is_said_to_be_one() -> None:
    found = translated(WrappedError("task", cause=raised_from(MemoryError("of size 1 TB"))))
    assert type(found) is ClusterError
    assert str(found).startswith("a worker ran out of memory; take fewer workers or smaller batches")
    assert translated(WrappedError("task", cause=OURS, _base_exc=MemoryError())) is OURS


def test_what_is_no_error_of_ours_in_the_attributes_is_left_out() -> None:
    assert isinstance(translated(WrappedError("w", cause="text", worker_failures=["a"])), ClusterError)


def test_an_error_that_travelled_as_a_value_is_raised() -> None:
    assert unwrapped(3) == 3
    with pytest.raises(UsageError, match="wrong"):
        unwrapped(UsageError("wrong"))
    with pytest.raises(PrecheckError):
        unwrapped(PrecheckError("disk"))
