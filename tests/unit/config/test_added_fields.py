"""A field that came later changes no hash, until it says something new."""

from __future__ import annotations

from typing import Annotated

from hemometric.config import Added, Config, fingerprint


class Shape(Config):
    corners: int = 3


class Before(Config):
    seed: int = 0


class After(Config):
    seed: int = 0
    kind: Annotated[str, Added("old")] = "old"
    shape: Annotated[Shape, Added(Shape())] = Shape()


class NewDefault(Config):
    seed: int = 0
    kind: Annotated[str, Added("old")] = "new"


def test_what_every_config_meant_before_is_not_hashed() -> None:
    assert fingerprint(After()) == fingerprint(Before())
    assert fingerprint(After(seed=1)) == fingerprint(Before(seed=1))


def test_anything_else_is() -> None:
    hashes = {fingerprint(config) for config in (After(), After(kind="new"), After(shape=Shape(corners=4)))}
    assert len(hashes) == 3


def test_a_default_that_changes_is_hashed_and_the_old_meaning_never() -> None:
    assert fingerprint(NewDefault()) != fingerprint(Before())
    assert fingerprint(NewDefault(kind="old")) == fingerprint(Before())
