"""A private session: closed to other users of the machine, and small where it must be."""

from pathlib import Path
from typing import Any

import pytest

from hemometric.runtime.session import cluster_cpus, cluster_is_there, session

pytestmark = pytest.mark.timeout(120)


def test_a_private_session_is_closed_to_other_users(two_cpus: dict[str, str]) -> None:
    token = Path(two_cpus["RAY_AUTH_TOKEN_PATH"])
    assert two_cpus["RAY_AUTH_MODE"] == "token"
    assert len(token.read_text()) == 64
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.parent.stat().st_mode & 0o777 == 0o700, "nobody else can put another token in its place"


def test_a_session_within_a_session_is_the_same_one(two_cpus: object) -> None:
    with session(num_cpus=64):
        assert cluster_cpus() == 2
    assert cluster_is_there(), "the inner one left it open"
    assert cluster_cpus() == 2


def test_sessions_follow_each_other_also_where_ray_was_there_before(start: Any) -> None:
    """Each has a token of its own, and Ray keeps the first that it meets."""
    program = """
import ray
from hemometric.runtime.session import cluster_cpus, session

for _ in range(2):
    with session(num_cpus=1):
        print("cpus", cluster_cpus())
"""
    assert start("-c", program).finish().count("cpus 1.0") == 2
