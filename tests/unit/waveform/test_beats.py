"""The median beat is the planted one, leaves out what happens once, and says where there is none."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemometric.ecg import INDEPENDENT_LEADS, LEADS
from hemometric.waveform import MedianBeats, median_beats, resample

Heart = Callable[..., np.ndarray]

ONSETS = np.arange(0.4, 9.7, 0.8)
BEFORE_NEXT_P = 60  # samples of a beat that holds nothing of the next


def noise(shape: tuple[int, ...], size_mv: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, size_mv, shape).astype(np.float32)


def one(signal: np.ndarray, rate_hz: float = 500.0, min_beats: int = 3) -> MedianBeats:
    return median_beats(signal[None], rate_hz, min_beats=min_beats)


def apart(first: np.ndarray, second: np.ndarray) -> float:
    """Root mean square difference as a share of the root mean square."""
    return float(np.sqrt(np.mean((first - second) ** 2) / np.mean(second**2)))


def planted(heart: Heart, patient: int = 0) -> np.ndarray:
    """What one beat looks like far from any other, without noise, [8, sample] at 100 Hz."""
    return one(heart(np.arange(0.4, 9.7, 1.6), patient)).beats[0, :, :BEFORE_NEXT_P]


def bundled() -> np.ndarray:
    """Real ECGs, float32 [recording, 8, sample] mV at 100 Hz."""
    paths = sorted(Path(str(files("hemometric").joinpath("demo/data/ptbxl/records100"))).rglob("*.dat"))
    twelve = np.stack([np.fromfile(path, "<i2").reshape(-1, 12).T for path in paths])
    return (twelve[:, [LEADS.index(lead) for lead in INDEPENDENT_LEADS]] / 1000).astype(np.float32)


@pytest.mark.parametrize("patient", range(3))
@pytest.mark.parametrize("rate_hz", [100.0, 360.0, 500.0])
def test_it_is_the_planted_beat(heart: Heart, patient: int, rate_hz: float) -> None:
    signal = resample(heart(ONSETS, patient), 500.0, rate_hz)
    found = one(signal + noise(signal.shape, 0.03), rate_hz)
    assert found.beats.shape == (1, 8, 70)
    assert found.beats.dtype == np.float32
    assert found.usable.all()
    assert found.num_found == len(ONSETS)
    assert found.num_alike >= len(ONSETS) - 2  # two may be cut off by the ends
    assert apart(found.beats[0, :, :BEFORE_NEXT_P], planted(heart, patient)) < 0.1


def test_beats_that_fall_between_samples_are_not_blurred(heart: Heart) -> None:
    between = ONSETS + np.random.default_rng(0).uniform(-0.03, 0.03, len(ONSETS))
    coarse = [resample(heart(onsets), 500.0, 100.0) for onsets in (ONSETS, between)]
    on_grid, off_grid = (one(signal, 100.0).beats[0] for signal in coarse)
    assert apart(off_grid, on_grid) < 0.12  # a millisecond to either side
    peaks = [np.abs(resample(beat, 100.0, 1000.0)).max() for beat in (off_grid, on_grid)]
    assert peaks[0] == pytest.approx(peaks[1], rel=0.03)


@settings(max_examples=20, deadline=None)
@given(
    shift=st.integers(0, 400),
    gain=st.floats(0.05, 20.0),
    offset=st.floats(-9, 9),
    order=st.permutations(range(8)),
)
def test_start_gain_offset_and_order_of_leads(
    heart: Heart, shift: int, gain: float, offset: float, order: list[int]
) -> None:
    signal = heart(np.arange(0.4, 11, 0.81), duration_s=11.0) + noise((8, 5500), 0.02)
    beat = one(signal[:, :5000]).beats[0]
    changed = np.float32(gain) * (signal[order, shift : shift + 5000] + np.float32(offset))
    assert apart(one(changed).beats[0] / np.float32(gain), beat[order]) < 0.08


def test_a_rate_of_its_own(heart: Heart) -> None:
    signal = heart(ONSETS)
    beats = {to_hz: median_beats(signal[None], 500.0, to_hz=to_hz).beats[0] for to_hz in (50.0, 100.0, 250.0, 500.0)}
    assert {to_hz: beat.shape[1] for to_hz, beat in beats.items()} == {50.0: 34, 100.0: 70, 250.0: 174, 500.0: 350}
    assert apart(beats[500.0][:, ::5], beats[100.0]) < 0.2  # the QRS above 50 Hz
    assert apart(beats[500.0][:, 50:325], beats[500.0][:, 50:325]) == 0


def test_an_early_beat_of_another_shape_is_left_out(heart: Heart) -> None:
    onsets = np.array([0.4, 1.2, 2.0, 2.8, 4.4, 5.2, 6.0, 6.8, 7.6, 8.4, 9.2])
    other = np.roll(heart(np.array([-20.0, 3.25, 30.0]), patient=3), 4, axis=0) * np.float32(-1.5)
    found = one(heart(onsets) + other)
    assert found.num_found == len(onsets) + 1
    assert apart(found.beats[0, :, :BEFORE_NEXT_P], planted(heart)) < 0.03


def test_in_bigeminy_the_beats_in_time_are_taken(heart: Heart) -> None:
    normal, early = np.arange(0.4, 9.7, 1.6), np.arange(0.95, 9.7, 1.6)
    other = np.roll(heart(early, patient=3), 4, axis=0) * np.float32(-1.5)
    found = one(heart(normal) + other)
    assert found.usable.all()
    assert found.num_alike <= len(normal)
    assert apart(found.beats[0, :, 12:45], planted(heart)[:, 12:45]) < 0.15


def test_an_early_beat_that_follows_is_no_part_of_the_beat(heart: Heart) -> None:
    normal, early = np.arange(0.4, 9.7, 1.6), np.arange(0.8, 9.7, 1.6)
    other = np.roll(heart(early, patient=3), 4, axis=0) * np.float32(-1.5)
    beat, alone = one(heart(normal) + other).beats[0], planted(heart)
    assert apart(beat[:, 12:54], alone[:, 12:54]) < 0.15
    assert (beat[:, 56:] == beat[:, 56:57]).all(), "100 ms before the other QRS the beat ends"
    assert np.abs(beat[:, 56:]).max() < 0.5 * np.abs(beat[:, 15:40]).max()
    some_followed = heart(normal) + np.roll(heart(early[:2], patient=3), 4, axis=0) * np.float32(-1.5)
    assert apart(one(some_followed).beats[0, :, :BEFORE_NEXT_P], alone) < 0.1, "the others still know all of it"


def test_a_burst_of_noise_is_left_out(heart: Heart) -> None:
    signal = heart(ONSETS)
    clean = one(signal)
    signal[:, 1900:2500] += noise((8, 600), 1.0)
    noisy = one(signal)
    assert noisy.num_alike < clean.num_alike
    assert apart(noisy.beats[0], clean.beats[0]) < 0.03


def test_one_bad_lead_spoils_no_other(heart: Heart) -> None:
    signal = heart(ONSETS)
    clean = one(signal).beats[0]
    signal[3] = noise((5000,), 5.0)
    signal[6] = 0.0
    spoilt = one(signal)
    good = [0, 1, 2, 4, 5, 7]
    assert spoilt.usable.all()
    assert apart(spoilt.beats[0, good], clean[good]) < 0.05
    assert (spoilt.beats[0, 6] == 0).all()


def test_drift_and_offsets_are_taken_away(heart: Heart) -> None:
    signal = heart(ONSETS)
    time = np.arange(5000) / 500
    drift = 0.3 * np.sin(2 * np.pi * 0.2 * time + np.arange(8)[:, None]) + np.linspace(-20, 20, 8)[:, None]
    assert apart(one((signal + drift).astype(np.float32)).beats[0], one(signal).beats[0]) < 0.15
    assert np.abs(np.median(one(signal).beats[0], axis=1)).max() < 0.02


def test_pacemaker_spikes_are_no_noise(heart: Heart) -> None:
    signal = heart(ONSETS)
    paced = signal.copy()
    for onset in ONSETS:  # 2 ms before each QRS
        paced[:, round((onset - 0.02) * 500)] += np.float32(3.0)
    found = one(paced)
    assert found.usable.all()
    assert found.num_alike >= len(ONSETS) - 2
    # The spike belongs to the beat and draws its middle to itself by some milliseconds.
    clean = one(signal).beats[0]
    after = [apart(np.roll(found.beats[0], shift, axis=1)[:, 34:60], clean[:, 34:60]) for shift in range(-4, 5)]
    assert min(after) < 0.15


@pytest.mark.parametrize("beats_per_minute", [30, 45, 120, 200])
def test_slow_and_fast_hearts(heart: Heart, beats_per_minute: float) -> None:
    onsets = np.arange(0.4, 9.7, 60 / beats_per_minute)
    found = one(heart(onsets) + noise((8, 5000), 0.02))
    assert found.num_found == len(onsets)
    assert found.num_alike >= 0.7 * len(onsets)
    assert found.usable.all()
    # Of the next beat nothing is left: neither its QRS nor a step down from it.
    late = found.beats[0, :, 25 + round(6000 / beats_per_minute) - 4 :]
    assert np.abs(late).max(initial=0.0) < 0.3 * np.abs(found.beats[0, :, 20:31]).max()


def test_fewer_beats_than_asked_for_are_none(heart: Heart) -> None:
    two = heart(np.array([0.6, 1.6]), duration_s=2.5)
    assert not one(two).usable.any()
    assert one(two).num_alike == 2
    assert one(two, min_beats=2).usable.all()


def test_padding_is_no_recording(heart: Heart) -> None:
    signal = heart(np.arange(0.4, 3.0, 0.7), duration_s=3.2) + np.float32(20.0)
    padded = one(np.pad(signal, ((0, 0), (0, 3400))))
    assert padded.num_found <= 5 + 1  # the step may look like a beat
    assert padded.usable.all()
    assert apart(padded.beats[0], one(signal).beats[0]) < 0.05


def test_where_there_is_no_beat_it_says_so() -> None:
    time = np.arange(5000) / 500
    lead = np.arange(8)[:, None]
    signals = {
        "flat": np.zeros((8, 5000)),
        "offset": np.ones((8, 5000)),
        "noise": noise((8, 5000), 0.5),
        "slow noise": resample(noise((8, 300), 0.5), 30.0, 500.0),
        "walk": np.cumsum(noise((8, 5000), 0.05), axis=1),
        "mains": np.sin(2 * np.pi * 50 * time + lead),
        "flutter": np.sin(2 * np.pi * 5 * time + lead),
        "a step": (time > 5) * (lead + 1),
    }
    found = median_beats(np.stack(list(signals.values())).astype(np.float32), 500.0)
    assert not found.usable.any(), [name for name, usable in zip(signals, found.usable, strict=True) if usable]
    assert (found.beats == 0).all()


def test_recordings_do_not_depend_on_their_batch(heart: Heart) -> None:
    signals = np.stack([heart(ONSETS, patient) for patient in range(3)])
    together = median_beats(signals, 500.0)
    for row, signal in enumerate(signals):
        np.testing.assert_array_equal(one(signal).beats[0], together.beats[row])
    assert median_beats(signals[:0], 500.0).beats.shape == (0, 8, 70)


def test_both_halves_of_a_real_recording_have_the_same_beat() -> None:
    real = bundled()[:60]
    halves = [median_beats(half, 100.0) for half in (real[:, :, :500], real[:, :, 500:])]
    both = halves[0].usable & halves[1].usable
    assert both.mean() > 0.95
    first, second = (half.beats[both].reshape(int(both.sum()), -1) for half in halves)
    squared = np.square(first[:, None] - second[None]).sum(axis=2)
    assert (squared.argmin(axis=1) == np.arange(len(squared))).mean() > 0.97
    share = squared.diagonal() / np.median(squared, axis=1)
    assert np.median(share) < 0.03


def test_every_bundled_recording_has_one() -> None:
    found = median_beats(bundled()[60:], 100.0)
    assert found.usable.all()
    assert found.num_alike.sum() > 0.88 * found.num_found.sum()


@pytest.mark.parametrize(
    ("signals", "arguments", "message"),
    [
        (np.zeros((8, 100)), {}, r"\[b, lead, sample\]"),
        (np.zeros((1, 0, 100)), {}, "with a lead"),
        (np.zeros((1, 8, 0)), {}, "with a lead"),
        (np.full((1, 8, 100), np.nan), {}, "NaN"),
        (np.zeros((1, 8, 100), complex), {}, "complex"),
        (np.zeros((1, 8, 100), object), {}, "object"),
        (np.zeros((1, 8, 100)), {"min_beats": 0}, "min_beats is 0"),
        (np.zeros((1, 8, 100)), {"before_s": 0.0}, "0.0 s before"),
        (np.zeros((1, 8, 100)), {"before_s": np.nan}, "before_s nan"),
        (np.zeros((1, 8, 100)), {"after_s": np.inf}, "after_s inf"),
        (np.zeros((1, 8, 100)), {"to_hz": np.inf}, "to_hz inf"),
        (np.zeros((1, 8, 100)), {"rate_hz": 30.0}, "below 50 Hz a signal holds no QRS"),
        (np.zeros((1, 8, 100)), {"rate_hz": np.nan}, "rate_hz is nan"),
        (np.zeros((1, 8, 100)), {"to_hz": 0.0}, "less than a sample"),
    ],
)
def test_bad_arguments_are_named(signals: np.ndarray, arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        median_beats(signals, **{"rate_hz": 100.0} | arguments)  # type: ignore[arg-type]
