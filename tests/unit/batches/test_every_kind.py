"""What every order keeps to: pure in (roster, seed, step), whole batches, the same for every world."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from hemometric.batches import (
    BatchesConfig,
    LabelBatches,
    NeighbourBatches,
    PairBatches,
    ParticipantBatches,
    PatientBatches,
    RandomBatches,
    Roster,
    SiteBatches,
    deal,
)
from hemometric.batches.order import permutation
from hemometric.config import essence

KINDS: list[Any] = [
    RandomBatches(),
    NeighbourBatches(k=2),
    PatientBatches(recordings_per_patient=2),
    PatientBatches(recordings_per_patient=4, fewer="leave_out"),
    ParticipantBatches(),
    LabelBatches(num_quantiles=3),
    LabelBatches(edges=(12.0, 18.0)),
    SiteBatches(),
    PairBatches(),
    PairBatches(min_gap_days=1, max_gap_days=90),
]
every_kind = pytest.mark.parametrize("config", KINDS, ids=lambda config: config.kind)
Archive = Callable[..., Roster]


def test_none_is_missing_here() -> None:
    assert {type(config) for config in KINDS} == set(get_args(get_args(BatchesConfig)[0]))
    assert all(
        TypeAdapter(BatchesConfig).validate_python({"kind": config.kind}).kind == config.kind for config in KINDS
    )


@every_kind
@pytest.mark.parametrize(("num", "size", "seed"), [(60, 4, 0), (200, 8, 1), (350, 24, 2**64 - 1)])
def test_batches_are_whole_and_pure_and_any_step_can_be_asked_for(
    config: Any, archive: Archive, num: int, size: int, seed: int
) -> None:
    roster = archive(seed % 100, num)
    order = config.build(roster, size, seed)
    batches = [order.batch(step) for step in range(order.num_steps(3))]
    epochs = [order.epoch(step) for step in range(len(batches))]
    for batch in batches:
        assert batch.dtype == np.int64
        assert batch.shape == (size,)
        assert ((batch >= 0) & (batch < num)).all()
    assert epochs[0] == 0
    assert epochs[-1] == 2
    assert set(np.diff(epochs).tolist()) <= {0, 1}
    for step in (len(batches) - 1, 0, len(batches) // 2):
        permutation.cache_clear()
        resumed = config.build(archive(seed % 100, num), size, seed)
        assert resumed.batch(step).tolist() == batches[step].tolist()
        assert resumed.epoch(step) == epochs[step]
    far = order.batch(10**7)
    assert far.tolist() == config.build(roster, size, seed).batch(10**7).tolist()


@every_kind
@pytest.mark.parametrize("world", [1, 2, 4])
def test_dealt_to_any_world_each_has_as_many_of_the_same_batch(config: Any, archive: Archive, world: int) -> None:
    roster = archive(5, 150)
    orders = [config.build(roster, 12, 3) for _ in range(world)]
    for step in range(10):
        joined = np.empty(12, dtype=np.int64)
        for rank, order in enumerate(orders):
            ours = deal(order.batch(step), rank, world)
            assert len(ours) == 12 // world
            joined[rank::world] = ours
        assert joined.tolist() == orders[0].batch(step).tolist()


@every_kind
def test_who_is_left_out_is_counted_and_nobody_else_is(config: Any, archive: Archive) -> None:
    roster = archive(11, 120)
    order = config.build(roster, 8, 4)
    seen = np.unique(np.concatenate([order.batch(step) for step in range(order.num_steps(60))]))
    assert len(seen) + sum(order.left_out.values()) == 120


@every_kind
def test_seeds_differ(config: Any, archive: Archive) -> None:
    roster = archive(2, 150)
    assert config.build(roster, 8, 1).batch(0).tolist() != config.build(roster, 8, 2).batch(0).tolist()


def test_runs_that_began_before_keep_their_fingerprints() -> None:
    assert essence(RandomBatches()) == {"kind": "random"}
    assert essence(NeighbourBatches()) == {"kind": "neighbours", "k": 5}


@pytest.mark.parametrize("name", ["sites", "acquired", "targets", "neighbours"])
def test_a_roster_is_of_equal_lengths(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} of 3 recordings were given; there are 4"):
        Roster(patients=np.arange(4), **{name: np.arange(3)})


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"kind": "pairs", "min_gap_days": 9, "max_gap_days": 3}, "max_gap_days 3 is less than min_gap_days 9"),
        ({"kind": "pairs", "min_gap_days": -1}, "greater than or equal to 0"),
        ({"kind": "patients", "recordings_per_patient": 1}, "greater than or equal to 2"),
        ({"kind": "label_balanced", "edges": (3.0, 2.0)}, "edges do not ascend"),
        ({"kind": "label_balanced", "edges": (3.0, 3.0)}, "edges do not ascend"),
        ({"kind": "label_balanced", "edges": (3.0,), "num_quantiles": 3}, "leave one out"),
        ({"kind": "label_balanced", "num_quantiles": 1}, "greater than or equal to 2"),
        ({"kind": "site", "k": 3}, "Extra inputs"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(config: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        TypeAdapter(BatchesConfig).validate_python(config)
