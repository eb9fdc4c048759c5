"""The order is pure in (number, seed, step), covers each epoch once, and is only dealt out by the world."""

import itertools

import numpy as np
import pytest

from hemometric.batches import Order, RandomBatches, Roster, deal
from hemometric.batches.order import permutation
from hemometric.errors import UsageError

GRID = list(itertools.product([1, 7, 8, 12, 100], [1, 4, 8, 12], [0, 1, 12345678901234567890]))


def slow_permutation(num: int, seed: int, epoch: int) -> list[int]:
    """SplitMix64 in plain integers, one recording at a time."""
    word = (1 << 64) - 1

    def mix(value: int) -> int:
        value ^= value >> 30
        value = value * 0xBF58476D1CE4E5B9 & word
        value ^= value >> 27
        value = value * 0x94D049BB133111EB & word
        return value ^ value >> 31

    def next_of(state: int) -> int:
        return mix((state + 0x9E3779B97F4A7C15) & word)

    start = next_of(next_of(seed & word) ^ epoch)
    hashes = [mix((start + (i + 1) * 0x9E3779B97F4A7C15) & word) for i in range(num)]
    return sorted(range(num), key=hashes.__getitem__)


def test_splitmix_agrees_with_its_published_stream() -> None:
    # First outputs of SplitMix64 from state 1234567, as its authors' reference code prints them.
    state, outputs = 1234567, []
    for _ in range(3):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        value = state
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
        outputs.append(value ^ (value >> 31))
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize(("num", "seed", "epoch"), [(1, 0, 0), (50, 0, 0), (50, 3, 7), (50, 2**63 + 5, 1)])
def test_permutation_is_that_of_a_plain_loop(num: int, seed: int, epoch: int) -> None:
    assert permutation(num, seed, epoch).tolist() == slow_permutation(num, seed, epoch)


@pytest.mark.parametrize(("num", "size", "seed"), [(n, b, s) for n, b, s in GRID if b <= n])
def test_each_recording_once_an_epoch_and_epochs_are_concatenated(num: int, size: int, seed: int) -> None:
    order = RandomBatches().build(Roster(patients=np.arange(num)), size, seed)
    num_steps = order.num_steps(3)
    draws = np.concatenate([order.batch(step) for step in range(num_steps)])
    for epoch in range(3):
        of_epoch = draws[epoch * num : (epoch + 1) * num]
        assert sorted(of_epoch.tolist()) == list(range(num))
        assert of_epoch.tolist() == slow_permutation(num, seed, epoch)
    assert all(order.epoch(step) == step * size // num for step in range(num_steps))
    assert (num_steps - 1) * size < 3 * num <= num_steps * size


@pytest.mark.parametrize(("num", "size", "seed"), [(n, b, s) for n, b, s in GRID if b <= n])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_global_batches_are_the_same_for_every_world(num: int, size: int, seed: int, world: int) -> None:
    order = Order(num, size, seed)
    for step in range(6):
        batch = order.batch(step)
        assert batch.dtype == np.int64
        assert batch.shape == (size,)
        if size % world:
            with pytest.raises(UsageError, match="multiple of workers"):
                deal(batch, 0, world)
            continue
        joined = np.empty_like(batch)
        for rank in range(world):
            joined[rank::world] = deal(batch, rank, world)
            assert len(deal(batch, rank, world)) == size // world
        assert joined.tolist() == batch.tolist()


def test_resumes_at_any_step_without_the_steps_before() -> None:
    straight = [Order(37, 8, 5).batch(step).tolist() for step in range(40)]
    for step in (0, 4, 5, 17, 39):
        permutation.cache_clear()
        assert Order(37, 8, 5).batch(step).tolist() == straight[step]


def test_seeds_and_epochs_differ_and_places_are_even() -> None:
    assert Order(64, 64, 1).batch(0).tolist() != Order(64, 64, 2).batch(0).tolist()
    assert Order(64, 64, 1).batch(0).tolist() != Order(64, 64, 1).batch(1).tolist()
    # Recording 0 falls on each of 8 places about 250 times in 2000 epochs (standard deviation 15).
    places = np.bincount([int(np.flatnonzero(permutation(8, 0, e) == 0)[0]) for e in range(2000)], minlength=8)
    assert places.min() > 180
    assert places.max() < 320


def test_a_caller_cannot_change_the_order() -> None:
    order = Order(10, 10, 0)
    first = order.batch(0)
    expected = first.tolist()
    first[:] = 0
    assert order.batch(0).tolist() == expected


@pytest.mark.parametrize(("num", "size", "word"), [(3, 4, "lower batch_size"), (0, 1, "lower"), (3, 0, "at least 1")])
def test_refuses_what_cannot_be_dealt(num: int, size: int, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        Order(num, size, 0)


@pytest.mark.parametrize(("rank", "world"), [(2, 2), (-1, 2), (0, 0)])
def test_refuses_ranks_outside_the_world(rank: int, world: int) -> None:
    with pytest.raises(UsageError):
        deal(np.arange(4), rank, world)
