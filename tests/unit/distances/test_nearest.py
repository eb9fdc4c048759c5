"""The search finds what computing and sorting all distances finds, however little it computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hemometric.distances import archive_search, cross, engine, nearest, search
from hemometric.distances.bounds import bound_for

properties = settings(deadline=None, database=None, max_examples=40, derandomize=True)


def brute(queries, archive, k, barred=None, **how):
    distances = cross(queries, archive, **how)
    if barred is not None:
        distances[barred] = np.inf
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(distances, order, axis=1)
    return np.where(np.isinf(found), -1, order), found


def same(one, other) -> bool:
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(one, other, strict=True))


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks so small that a search crosses many of their borders."""
    monkeypatch.setattr(archive_search, "FLOATS_OF_BLOCK", 1)  # 64 signals
    monkeypatch.setattr(archive_search, "_QUERIES_OF_BLOCK", 7)


@pytest.mark.parametrize("metric", ["dependent", "independent"])
@pytest.mark.parametrize(("k", "window"), [(1, 0.1), (5, None), (150, 3)])
def test_equals_brute_force(small_blocks, metric, k, window, noise):
    archive, queries = noise(150, 8, 40), noise(20, 8, 40, seed=1)
    how = {"window": window, "metric": metric}
    expected = brute(queries, archive, k, **how)
    for components in (0, 1, 3, 9):
        assert same(nearest(queries, archive, k, components=components, threads=2, **how), expected)


@pytest.mark.parametrize("kernel", ["fast", "plain"])
def test_real_ecgs_are_mostly_pruned(kernel, ecgs, monkeypatch):
    if kernel == "plain":
        monkeypatch.setattr(engine, "_fast", engine._plain)
        engine.kernel_for.cache_clear()
        engine.pairs_kernel_for.cache_clear()
    archive = np.concatenate([ecgs[:, -8:, start : start + 100] for start in range(0, 900, 100)])
    own = np.arange(len(archive)) % len(ecgs)
    found = search(archive[:12], archive, 2, window=0.1, exclude=(own[:12], own))
    barred = own[:12, None] == own
    assert same((found.positions, found.distances), brute(archive[:12], archive, 2, barred, window=0.1))
    assert found.num_pairs == 12 * len(archive) - barred.sum()
    assert found.pruned_share > 0.5
    engine.kernel_for.cache_clear()
    engine.pairs_kernel_for.cache_clear()


def test_ties_go_to_the_earlier_position(small_blocks, noise):
    some = noise(5, 8, 20)
    archive = np.tile(some, (30, 1, 1))  # thirty copies of each, in several blocks
    positions, distances = nearest(some, archive, 31)
    assert np.array_equal(positions[:, :30], np.arange(5)[:, None] + 5 * np.arange(30))
    assert np.all(distances[:, :30] == 0)
    assert same((positions, distances), brute(some, archive, 31))


@pytest.mark.parametrize("exclude", ["mask", "labels"])
def test_excluded_signals_are_never_found(small_blocks, exclude, noise):
    signals = noise(90, 8, 20)
    labels = np.arange(90) % 3
    mask = labels[:, None] == labels
    found = nearest(signals, signals, 4, exclude=mask if exclude == "mask" else (labels, labels))
    assert same(found, brute(signals, signals, 4, mask))
    positions, distances = nearest(signals, signals, 61, exclude=mask)  # sixty are allowed
    assert np.all(positions[:, -1] == -1)
    assert np.all(np.isinf(distances[:, -1]))
    assert np.all(positions[:, :-1] >= 0)
    nothing = search(signals, signals, 1, exclude=np.ones((90, 90), bool))
    assert np.all(nothing.positions == -1)
    assert nothing.num_pairs == nothing.num_computed == nothing.pruned_share == 0


NUMBERS = np.arange(90) % 3
NAMES = np.array(["Ada", "Ben", "Cleo the second"])[NUMBERS]


@pytest.mark.parametrize(
    "labels",
    [
        (NAMES, NAMES),
        (NAMES.tolist(), NAMES),
        (NAMES.astype(object), NAMES.tolist()),
        (NAMES, tuple(NAMES)),
        (NUMBERS.tolist(), NUMBERS.astype(np.uint8)),
        (NUMBERS.astype(object), NUMBERS),
        (NUMBERS + 2**53, NUMBERS.astype(np.uint64) + 2**53),  # as floats, all would be two
        ([2**70 + number for number in NUMBERS.tolist()], [2**70 + number for number in NUMBERS.tolist()]),
    ],
    ids=lambda pair: f"{type(pair[0]).__name__} {type(pair[1]).__name__} of {type(pair[1][0]).__name__}",
)
def test_labels_may_be_names_or_numbers(small_blocks, labels, noise):
    signals = noise(90, 8, 20)
    mask = NUMBERS[:, None] == NUMBERS
    assert same(nearest(signals, signals, 4, exclude=labels), brute(signals, signals, 4, mask))


def test_a_name_of_one_side_alone_keeps_nobody_apart(noise):
    signals = noise(3, 8, 20)
    found = nearest(signals[:1], signals, 3, exclude=(["Ada"], ["Ben", "Ada ", "ada"]))
    assert same(found, brute(signals[:1], signals, 3))


def test_an_archive_may_be_mapped_from_a_file(small_blocks, tmp_path, noise):
    archive, queries = noise(130, 8, 20), noise(3, 8, 20, seed=1)
    np.save(tmp_path / "archive.npy", archive)
    mapped = np.load(tmp_path / "archive.npy", mmap_mode="r")
    assert same(nearest(queries, mapped, 3), nearest(queries, archive, 3))
    archive[100, 2, 3] = np.nan
    with pytest.raises(ValueError, match=r"^archive holds NaN .* first at position 100"):
        nearest(queries, archive, 3)


def test_the_first_bad_signal_of_many_is_named(small_blocks, noise):
    archive = noise(1000, 3, 5)
    archive[[501, 999], 0, 0] = np.inf
    with pytest.raises(ValueError, match=r"^archive holds NaN or infinity .* first at position 501;"):
        nearest(archive[:2], archive, 1)


@st.composite
def sets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Queries and an archive, float32 [signal, 8 leads, sample], with equal and nearly equal signals and offsets."""
    num_samples = draw(st.integers(1, 12))
    values = st.one_of(st.integers(-3, 3).map(float), st.floats(-8, 8, width=32))
    signals = draw(arrays.arrays(np.float32, (draw(st.integers(2, 6)), 8, num_samples), elements=values))
    signals = np.concatenate([signals, signals[::-1] * np.float32(1.0001)])
    signals += np.float32(draw(st.sampled_from([0, 1, 1e4]))) * np.arange(8, dtype=np.float32)[:, None]
    return signals[::2], signals


@properties
@given(sets(), st.integers(0, 12), st.sampled_from(["dependent", "independent"]), st.sampled_from([1, 3]))
def test_bounds_are_never_above_the_distance_and_so_nothing_is_missed(given_sets, window, metric, components):
    queries, archive = given_sets
    window = min(window, archive.shape[2])
    distances = cross(queries, archive, window=window, metric=metric)
    bound = bound_for(archive, components, metric)
    mapped = bound.mapped(queries), bound.mapped(archive)
    largest = max(float(np.abs(one).max()) for one in mapped)
    assert np.all(cross(*mapped, window=window, metric=metric) <= bound.reach(distances, largest, *archive.shape[1:]))
    found = nearest(queries, archive, 2, window=window, metric=metric, components=components)
    assert same(found, brute(queries, archive, 2, window=window, metric=metric))


def test_the_bound_is_tight_where_all_leads_are_few_sources(noise):
    sources, mixing = noise(20, 3, 50), np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    signals = np.matmul(mixing, sources)
    bound = bound_for(signals, 3, "dependent")
    mapped = bound.mapped(signals)
    reach = bound.reach(cross(signals, signals), float(np.abs(mapped).max()), 8, 50)
    np.testing.assert_allclose(cross(mapped, mapped), reach, rtol=1e-3, atol=1e-5)


def test_one_lead_and_no_more_leads_than_lines_are_computed_all(noise):
    for num_leads in (1, 2):
        signals = noise(9, num_leads, 20)
        found = search(signals, signals, 2)
        assert found.num_computed == found.num_pairs == 81
        assert same((found.positions, found.distances), brute(signals, signals, 2))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"k": 0}, "k="),
        ({"k": 6}, "k="),
        ({"k": True}, "k="),
        ({"k": 1.0}, "k="),
        ({"components": -1}, "components"),
        ({"components": 1.5}, "components"),
        ({"window": -1}, "window"),
        ({"metric": "both"}, "metric"),
        ({"threads": 0}, "threads"),
        ({"exclude": np.zeros((5, 4), bool)}, "exclude"),
        ({"exclude": np.zeros((5, 5))}, "exclude"),
        ({"exclude": (range(5), range(4))}, "exclude"),
        ({"exclude": (range(5),)}, "exclude"),
        ({"exclude": (np.zeros(5), np.zeros(5))}, "exclude: a pair .* these are float64"),
        ({"exclude": (list("abcde"), range(5))}, "exclude: a pair .* these are strings .* and whole numbers"),
        ({"exclude": (["a", "b", 3, "d", "e"], list("abcde"))}, "exclude: a pair .* objects of int, str"),
        ({"exclude": (np.array(["a", "b", np.nan, "d", "e"], object), list("abcde"))}, "exclude: a pair .* float, str"),
        ({"exclude": (list("abcd"), list("abcde"))}, r"exclude: a pair .* strings \[4\]"),
        ({"exclude": ([True] * 5, [False] * 5)}, "exclude: a pair .* bool"),
        ({"exclude": (None, list("abcde"))}, "exclude: a pair .* NoneType"),
        ({"exclude": (5, 5)}, "exclude: a pair"),
        ({"queries": np.zeros((5, 10))}, "queries"),
        ({"queries": np.full((5, 2, 10), np.nan)}, "queries"),
        ({"archive": np.zeros((5, 10))}, "archive"),
        ({"archive": np.zeros((5, 2, 11))}, "queries and archive"),
        ({"archive": np.zeros((0, 2, 10))}, "archive has shape"),
        ({"exclude": ([[0], [1, 2]], range(5))}, "exclude"),
        ({"exclude": [[True], [True, False]]}, "exclude"),
        ({"archive": np.zeros((5, 2, 10), complex)}, "archive"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, name, noise):
    arguments = {"queries": noise(5, 2, 10), "archive": noise(5, 2, 10), "k": 2} | change
    with pytest.raises(ValueError, match=f"^{name}"):
        nearest(arguments.pop("queries"), arguments.pop("archive"), arguments.pop("k"), **arguments)
