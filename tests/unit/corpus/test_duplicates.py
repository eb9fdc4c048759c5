"""The same tracing is found under any name, rate, gain and padding; another ECG of the same patient never is."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hemometric.corpus import duplicates
from hemometric.corpus.duplicates import candidates, confirmed, find_duplicates, similarity
from hemometric.corpus.sketch import NUM_FEATURES, is_digest, outlines_of, sketch
from hemometric.ecg import INDEPENDENT_LEADS, LEADS, Recording
from hemometric.errors import IntegrityError
from hemometric.synthesis import SynthesisConfig, generate
from hemometric.vendors import find, read_all
from hemometric.waveform import resample


def of(signal: np.ndarray, rate_hz: float, leads: Sequence[str] = LEADS) -> Recording:
    return Recording.from_millivolts(signal, key="another", rate_hz=rate_hz, leads=leads)


def rounded(signal: np.ndarray, rate_hz: float, step_mv: float = 0.005) -> Recording:
    counts = np.rint(signal / step_mv).astype(np.int16)
    return Recording("another", LEADS, rate_hz, counts, np.full(12, 1 / step_mv), np.zeros(12))


def resampled(to_hz: float) -> Callable[[np.ndarray], Recording]:
    return lambda signal: of(resample(signal, 500.0, to_hz), to_hz)


def leads_of(signal: np.ndarray, leads: Sequence[str]) -> Recording:
    return of(signal[[LEADS.index(lead) for lead in leads]], 500.0, leads)


def padded(signal: np.ndarray) -> np.ndarray:
    return np.pad(signal, ((0, 0), (700, 400)))


KINDS: dict[str, Callable[[np.ndarray], Recording]] = {
    "the same": lambda signal: of(signal, 500.0),
    "a wrong gain": lambda signal: of(4.88 * signal, 500.0),
    "100 Hz": resampled(100.0),
    "250 Hz": resampled(250.0),
    "257 Hz": resampled(257.0),
    "400 Hz": resampled(400.0),
    "1000 Hz": resampled(1000.0),
    "one sample less": lambda signal: of(signal[:, 1:], 500.0),
    "five samples less": lambda signal: of(signal[:, 5:-5], 500.0),
    "5 uV": lambda signal: rounded(signal, 500.0),
    "padded": lambda signal: of(padded(signal), 500.0),
    "padded, at 257 Hz": lambda signal: of(resample(padded(signal), 500.0, 257.0), 257.0),
    "eight leads": lambda signal: leads_of(signal, INDEPENDENT_LEADS),
    "lead II": lambda signal: leads_of(signal, ["II"]),
    "all at once": lambda signal: rounded(resample(1.02 * signal[:, 4:-3], 500.0, 250.0), 250.0),
}


@pytest.fixture(scope="module")
def originals() -> list[np.ndarray]:
    """Two ECGs each of 100 patients, [12, 5000] mV."""
    config = SynthesisConfig(num_patients=100, visits_min=2, visits_max=2, seed=7)
    return [visit.recording().signal for visit in generate(config)]


def found_in(recordings: Sequence[Recording]) -> set[tuple[int, int]]:
    sketches = [sketch(recording) for recording in recordings]
    features = np.array([one.features for one in sketches], np.float32).reshape(-1, NUM_FEATURES)
    pairs = find_duplicates(features, lambda positions: [sketches[position].outline for position in positions])
    assert pairs.dtype == np.int64
    assert pairs.tolist() == sorted(pairs.tolist())
    return {(first, second) for first, second in pairs.tolist()}


def test_planted_copies_of_each_kind_are_found_and_nothing_else(originals: list[np.ndarray]) -> None:
    recordings = [of(signal, 500.0) for signal in originals]
    truth = {}
    for number, (kind, copy) in enumerate(KINDS.items()):
        for original in range(number, len(originals), len(KINDS)):
            truth[(original, len(recordings))] = kind
            recordings.append(copy(originals[original]))
    found = found_in(recordings)
    missed = [kind for pair, kind in truth.items() if pair not in found]
    assert len(missed) <= 0.01 * len(truth), missed
    assert len(found - set(truth)) <= 0.01 * len(found)


def test_all_copies_of_one_tracing_are_connected(originals: list[np.ndarray]) -> None:
    recordings = [copy(signal) for signal in originals[:5] for copy in KINDS.values()]
    pairs = np.array(sorted(found_in(recordings)))
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(recordings),) * 2)
    _, component = connected_components(graph, directed=False)
    assert component.tolist() == [number for number in range(5) for _ in KINDS]


def test_what_follows_in_the_same_recording_is_another_ecg() -> None:
    config = SynthesisConfig(num_patients=40, visits_min=1, visits_max=1, duration_s=20.0, rate_hz=250.0, seed=3)
    halves = []
    for visit in generate(config):
        halves += [of(half, 250.0) for half in np.split(visit.recording().signal, 2, axis=1)]
    assert not found_in(halves)


def test_the_beginning_of_a_longer_recording_is_the_same() -> None:
    (visit,) = generate(SynthesisConfig(num_patients=1, visits_min=1, visits_max=1, duration_s=30.0))
    recording = visit.recording()
    assert found_in([recording, of(recording.signal[:, :5000], 500.0)]) == {(0, 1)}
    assert not found_in([recording, of(recording.signal[:, 5000:10_000], 500.0)])


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        (lambda signal: signal * 4.88, True),
        (lambda signal: signal * np.where(np.arange(12) == 1, 1.05, 1.0)[:, None], True),
        (lambda signal: signal * np.where(np.arange(12) == 1, 1.2, 1.0)[:, None], False),
        (lambda signal: signal * np.where(np.arange(12) == 7, -1.0, 1.0)[:, None], False),
        (lambda signal: signal[[0, 1, 2, 3, 4, 5, 6, 10, 8, 9, 7, 11]], False),
        (lambda signal: np.roll(signal, 200, axis=1), False),
        (lambda signal: signal[:, ::-1], False),
    ],
    ids=["gain", "a lead 5 % larger", "a lead 20 % larger", "V2 inverted", "V2 and V5 exchanged", "0.4 s", "backwards"],
)
def test_what_makes_two_tracings_the_same(
    originals: list[np.ndarray], change: Callable[[np.ndarray], np.ndarray], is_same: bool
) -> None:
    for signal in originals[:10]:
        one, other = (outlines_of([sketch(of(mv, 500.0)).outline]) for mv in (signal, change(signal)))
        assert confirmed(one, other).tolist() == [is_same]


def test_likeness_is_the_least_correlation_at_the_best_shift(originals: list[np.ndarray]) -> None:
    """Against a loop over shifts by whole samples of the outline, and numpy's corrcoef."""
    shifted = [originals[0][:, 60:], originals[0][:, 110:], *originals[1:3]]
    one = outlines_of([sketch(of(originals[0], 500.0)).outline] * 4)
    other = outlines_of([sketch(of(signal, 500.0)).outline for signal in shifted])
    correlation, ratio = similarity(one, other)
    assert correlation[:2].min() > 0.999
    assert correlation[2:].max() < 0.9
    assert ratio[:2] == pytest.approx([1.0, 1.0], abs=0.01)
    for row in range(2):
        stop = int(min(one.num_samples[row], other.num_samples[row])) - 35
        likeness = []
        for shift in range(-12, 13):
            x, y = one.traces[row, :, 35:stop], np.roll(other.traces[row], shift, axis=1)[:, 35:stop]
            likeness.append(min(np.corrcoef(a, b)[0, 1] for a, b in zip(x, y, strict=True)))
        assert np.argmax(likeness) - 12 == (6, 11)[row]
        assert correlation[row] == pytest.approx(max(likeness), abs=1e-3)


def test_short_recordings_are_the_same_only_if_they_are_equal(originals: list[np.ndarray]) -> None:
    short = [signal[:, :1500] for signal in originals[:20]]
    recordings = [of(signal, 500.0) for signal in [*short, short[4], 1.01 * short[5]]]
    assert all(is_digest(sketch(recording).outline) for recording in recordings)
    assert found_in(recordings) == {(4, 20)}
    one_lead = [leads_of(signal[:, :2600], ["I"]) for signal in [*originals[:20], originals[4], 1.01 * originals[5]]]
    assert not any(is_digest(sketch(recording).outline) for recording in one_lead)
    assert found_in(one_lead) == {(4, 20)}


def test_other_leads_are_compared_by_their_samples_whatever_their_order(originals: list[np.ndarray]) -> None:
    recordings = [leads_of(originals[0], leads) for leads in (["V3", "V4"], ["V4", "V3"], ["V3", "V6"], ["V4"])]
    assert found_in(recordings) == {(0, 1)}


def test_flat_lines_and_nothing_at_all_are_no_duplicates() -> None:
    nothing = [of(np.zeros((12, 5000)), 500.0), of(np.full((12, 5000), np.nan), 500.0), of(np.zeros((12, 0)), 500.0)]
    for recording in nothing:
        assert sketch(recording).outline == b""
        assert np.isnan(sketch(recording).features).all()
    assert found_in(nothing * 3) == set()
    assert found_in([]) == set()


def test_gaps_and_flat_leads_do_no_harm(originals: list[np.ndarray]) -> None:
    with_gaps, with_flat = originals[0].copy(), originals[1].copy()
    with_gaps[:, 2000:2030] = np.nan
    with_gaps[10] = np.nan
    with_flat[6:] = 0.0
    recordings = [of(signal, 500.0) for signal in (originals[0], with_gaps, originals[1], with_flat)]
    assert np.isnan(sketch(recordings[3]).features).sum() == NUM_FEATURES / 2
    assert found_in(recordings) == {(0, 1), (2, 3)}


def test_candidates_are_the_near_ones() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(4000, NUM_FEATURES)).astype(np.float32)
    features[2000:3000] = features[:1000] + random.normal(0, 0.01, (1000, NUM_FEATURES))
    features[3000:] = features[1000:2000] + random.normal(0, 0.02, (1000, NUM_FEATURES))
    found = candidates(features)
    apart = np.linalg.norm(features[found[:, 0]] - features[found[:, 1]], axis=1)
    assert (found[:, 0] < found[:, 1]).all()
    assert apart.max() <= 2 * duplicates.RADIUS
    planted = found[found[:, 1] == found[:, 0] + 2000]
    assert len(planted) >= 1998
    order = random.permutation(4000)
    back = np.sort(order[candidates(features[order])], axis=1)
    assert {tuple(pair) for pair in back.tolist()} == {tuple(pair) for pair in found.tolist()}


@pytest.mark.parametrize("spread", [0.0, 0.005])
def test_thousands_of_like_features_give_few_pairs_and_stay_connected(spread: float) -> None:
    random = np.random.default_rng(0)
    features = (np.ones(NUM_FEATURES) + spread * random.normal(size=(5000, NUM_FEATURES))).astype(np.float32)
    found = candidates(features)
    assert len(found) <= duplicates.NUM_TABLES * duplicates.NUM_NEIGHBOURS * 5000
    graph = coo_array((np.ones(len(found)), (found[:, 0], found[:, 1])), shape=(5000, 5000))
    assert connected_components(graph, directed=False)[0] == 1


@pytest.mark.parametrize("damage", [b"", b"\x00", b"\x0f", b"\xff" * 300, b"\x01" + b"\x00" * 5000, b"\x03" * 10])
def test_a_damaged_outline_is_refused(damage: bytes) -> None:
    with pytest.raises(IntegrityError, match="damaged"):
        outlines_of([damage])


def test_a_sketch_is_small_and_repeatable(originals: list[np.ndarray]) -> None:
    one, again = (sketch(of(originals[0], 500.0)) for _ in range(2))
    assert one.features.nbytes == 128
    assert len(one.outline) <= 2000
    assert one.outline == again.outline
    assert one.features.tolist() == again.features.tolist()


def found_twice(folder: Path, num_both: int) -> set[tuple[str, str]]:
    """PTB-XL publishes each ECG at 100 and at 500 Hz, 1.2 ms apart; give those that are the same under two numbers."""
    recordings = [one for one in read_all(list(find([folder]))) if isinstance(one, Recording)]
    numbers = [recording.key.rpartition("/")[2][:5] for recording in recordings]
    pairs = [(numbers[one], numbers[other]) for one, other in found_in(recordings)]
    published = {number for number in numbers if numbers.count(number) == 2}
    assert len(published) == num_both
    assert {one for one, other in pairs if one == other} == published
    return {(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]}


def test_the_bundled_ecgs(bundled: Path) -> None:
    assert found_twice(bundled, 6) == {("00456", "00457"), ("00459", "00460")}


@pytest.mark.data
def test_real_archives_hold_these_duplicates_and_no_others() -> None:
    folder = os.environ.get("HEMOMETRIC_DATA")
    assert folder, "HEMOMETRIC_DATA is not set: give the folder that holds ptbxl, cinc2021, code15-chagas and others"
    twice = {("00145", "00463"), ("00456", "00457"), ("00459", "00460")}
    assert found_twice(Path(folder) / "ptbxl", 309) == twice
    roots = [Path(folder) / name for name in ("cinc2021", "code15-chagas", "ecgiddb", "awkward")]
    sources = list(find([*roots, Path(folder) / "ptbxl" / "records500"]))
    recordings = [one for one in read_all(sources) if isinstance(one, Recording)]
    assert len(recordings) > 700
    names = [recording.key.rpartition("/")[2] for recording in recordings]
    challenge = {frozenset((f"HR{number:05d}", f"{number:05d}_hr")) for number in range(1, 8)}
    # Early headers of the challenge have wrong gains; their records go by the same names.
    early = {frozenset((name,)) for name in ("A0001", "HR00001", "HR00002", "S0002")}
    early |= {frozenset((f"HR{number:05d}", f"{number:05d}_hr")) for number in (1, 2)}
    within = {frozenset(f"{number}_hr" for number in pair) for pair in twice} | {frozenset(("1111611", "1111628"))}
    found = {frozenset((names[one], names[other])) for one, other in found_in(recordings)}
    assert found == challenge | early | within | {frozenset(("S0001", "s0010_re"))}


def test_moved_by_whole_seconds_is_no_duplicate(originals: list[np.ndarray]) -> None:
    recordings = [of(signal, 500.0) for signal in originals[:20]]
    cut = [dataclasses.replace(one, counts=one.counts[:, 1000:]) for one in recordings]
    assert not found_in([*recordings, *cut])
