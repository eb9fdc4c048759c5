"""The fingerprint hashes what a config computes, and nothing of where."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from hemometric.config import PLACEMENT, Config, decode, fingerprint
from hemometric.runs.pretrain import PretrainRun


class Inner(Config):
    rate_hz: float = 100.0
    threads: Annotated[int, PLACEMENT] = 1


class Outer(Config):
    seed: int = 0
    name: str = ""
    window: int | float | None = None
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    by_name: dict[str, int] = Field(default_factory=dict)
    place: Annotated[Path, PLACEMENT] = Path("a")


PLACES: dict[str, Any] = {
    "corpus": "elsewhere",
    "out": "elsewhere",
    "cache": "elsewhere",
    "workers": 7,
    "cpus_per_worker": 3.5,
    "gpus_per_worker": 1,
    "log_every_steps": 3,
    "checkpoint_every_steps": 3,
    "tracking": {"kind": "none"},
}
CONTENT: dict[str, Any] = {
    "seed": 1,
    "preparation": {"rate_hz": 250},
    "batches": {"kind": "participant_balanced"},
    "batch_size": 32,
    "num_steps": 7,
    "optimiser": {"learning_rate": 0.5},
    "schedule": {"kind": "cosine"},
    "validate_every_steps": 7,
    "encoder": {"embedding_dim": 7},
    "mining": {"distance": {"kind": "euclidean"}},
    "views": {"kind": "segments"},
    "projection": {"kind": "mlp"},
    "objective": {"kind": "relative"},
}
SAME_ALWAYS = {"job"}  # it has one value


def run(**fields: Any) -> PretrainRun:
    return decode(PretrainRun, {"corpus": "c", "out": "o"} | fields)


def test_every_field_is_either_a_place_or_content() -> None:
    assert set(PretrainRun.model_fields) == set(PLACES) | set(CONTENT) | SAME_ALWAYS


@pytest.mark.parametrize("field", sorted(PLACES))
def test_a_place_changes_nothing(field: str) -> None:
    assert run(**{field: PLACES[field]}) != run()
    assert fingerprint(run(**{field: PLACES[field]})) == fingerprint(run())


@pytest.mark.parametrize("field", sorted(CONTENT))
def test_anything_else_changes_it(field: str) -> None:
    assert fingerprint(run(**{field: CONTENT[field]})) != fingerprint(run())


def test_a_place_deep_inside_changes_nothing() -> None:
    assert fingerprint(run(mining={"threads": 3})) == fingerprint(run())
    assert fingerprint(Outer(many=(Inner(threads=5),))) == fingerprint(Outer(many=(Inner(),)))
    assert fingerprint(Outer(many=(Inner(rate_hz=5),))) != fingerprint(Outer(many=(Inner(),)))


def test_it_is_the_same_in_another_process() -> None:
    words = (
        "from hemometric.config import decode, fingerprint\n"
        "from hemometric.runs.pretrain import PretrainRun\n"
        "print(fingerprint(decode(PretrainRun, {'out': 'x', 'seed': 3, 'corpus': 'y'})))"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == fingerprint(run(seed=3))


fields = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(-(2**40), 2**40),
        "name": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
        "window": st.none() | st.integers(0, 99) | st.floats(0, 1),
        "inner": st.fixed_dictionaries({}, optional={"rate_hz": st.floats(1, 1000), "threads": st.integers(1, 9)}),
        "by_name": st.dictionaries(st.text("abc", min_size=1, max_size=2), st.integers(0, 3)),
        "place": st.text("xyz", min_size=1, max_size=3),
    },
)


@given(fields, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(data: dict[str, Any], random: Any) -> None:
    names = list(data)
    random.shuffle(names)
    shuffled = {name: data[name] for name in names}
    if "by_name" in data:
        shuffled["by_name"] = dict(reversed(data["by_name"].items()))
    assert fingerprint(decode(Outer, data)) == fingerprint(decode(Outer, shuffled))


@given(fields, fields)
def test_it_is_equal_exactly_where_the_content_is(one: dict[str, Any], other: dict[str, Any]) -> None:
    def content(data: dict[str, Any]) -> dict[str, Any]:
        full = decode(Outer, data).model_dump()
        full["inner"].pop("threads")
        full.pop("place")
        full["window"] = (type(full["window"]), full["window"])  # 1 sample is not 1.0 of the record
        return full

    same = fingerprint(decode(Outer, one)) == fingerprint(decode(Outer, other))
    assert same == (content(one) == content(other))
