"""Each gate refuses what was planted for it and nothing else, on a synthetic tracing and on the bundled real ones."""

import warnings
from collections import Counter
from dataclasses import astuple
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from hemometric.config import decode
from hemometric.ecg import INDEPENDENT_LEADS, INVALID_COUNT, LEADS, Recording, Rejected
from hemometric.errors import UsageError
from hemometric.vendors import find, read
from hemometric.waveform import QUALITY_COLUMNS, Assessed, QualityConfig, assess, resample
from hemometric.waveform.flags import FLAGS
from hemometric.waveform.measures import amplitudes, padding

with warnings.catch_warnings():  # it sets up its tables with a deprecated argument of pandas
    warnings.simplefilter("ignore")
    from wfdb.processing import xqrs_detect

CONFIG = QualityConfig()


def flags(recording: Recording, config: QualityConfig = CONFIG) -> tuple[str, ...]:
    result = assess(recording, config)
    assert isinstance(result, Assessed), result
    assert result.recording is recording
    assert set(result.flags) <= set(FLAGS)
    return result.flags


def reason(recording: Recording, config: QualityConfig = CONFIG) -> str:
    result = assess(recording, config)
    assert isinstance(result, Rejected), result
    assert result.key == recording.key
    assert recording.key not in result.detail
    return result.reason


@pytest.fixture(scope="module")
def real() -> list[Recording]:
    """The bundled PTB-XL records."""
    recordings = [read(source) for source in find([Path(str(files("hemometric").joinpath("demo/data/ptbxl")))])]
    return [recording for recording in recordings if isinstance(recording, Recording)]


@pytest.mark.parametrize("rate_hz", [100.0, 250.0, 500.0, 1000.0])
def test_a_clean_tracing_has_no_flag(ecg, record, rate_hz: float) -> None:
    assert flags(record(ecg(rate_hz), rate_hz)) == ()


def test_offsets_are_no_amplitude(ecg, record) -> None:
    offsets = np.linspace(-25, 25, 12)[:, None]
    assert flags(record(ecg() + offsets)) == ()


@pytest.mark.parametrize("factor", [1000.0, 1e6])
def test_undeclared_microvolts_are_refused(ecg, record, factor: float) -> None:
    assert reason(record(ecg() * factor)) == "amplitude_high"


def test_one_lead_in_another_unit_is_refused(ecg, record) -> None:
    for lead in range(12):
        signal = ecg()
        signal[lead] *= 1000
        assert reason(record(signal)) == "amplitude_high"


def test_millivolts_taken_for_microvolts_are_refused(ecg, record) -> None:
    assert reason(record(ecg() / 1000)) == "amplitude_low"


def test_one_loose_electrode_is_flagged_and_one_artefact_is_not(ecg, record) -> None:
    signal = ecg()
    signal[8] += 15 * np.sin(2 * np.pi * 0.9 * np.arange(5000) / 500)
    assert flags(record(signal)) == ("large_amplitude:V3",)
    signal = ecg()
    signal[8, 2000:2100] += 60
    assert flags(record(signal)) == ("baseline_wander",)


@pytest.mark.parametrize(
    ("first", "second"), [("aVR", "aVL"), ("aVL", "aVF"), ("I", "II"), ("II", "III"), ("III", "aVF")]
)
def test_swapped_limb_leads_are_refused(ecg, record, first: str, second: str) -> None:
    signal = ecg()
    rows = [LEADS.index(first), LEADS.index(second)]
    signal[rows] = signal[rows[::-1]]
    assert reason(record(signal)) == "limb_lead_identity"


def test_flat_leads_are_flagged_and_break_no_identity(ecg, record) -> None:
    for lead in range(12):
        signal = ecg()
        signal[lead] = 0.3
        assert flags(record(signal)) == (f"flat_lead:{LEADS[lead]}",)
    signal = ecg()
    signal[9, :3000] = 0.1
    assert flags(record(signal)) == ("flat_lead:V4",)
    assert flags(record(signal), QualityConfig(max_flat_share=0.8)) == ()


def test_nothing_that_moves_is_refused(record) -> None:
    assert reason(record(np.full((12, 5000), 0.5))) == "flat"


def test_absent_samples_are_flagged_or_refused(ecg, record) -> None:
    signal = ecg()
    signal[:, 1000:1400] = np.nan
    assert flags(record(signal)) == ("nan_samples",)
    signal[:, 1000:2500] = np.nan
    assert reason(record(signal)) == "nan_samples"


def test_a_lead_without_any_sample_is_a_missing_lead(ecg, record) -> None:
    signal = ecg()
    signal[8] = np.nan
    assert reason(record(signal)) == "missing_leads"
    assert flags(record(signal), QualityConfig(required_leads=("I", "II"))) == ("missing_lead:V3",)


def test_clipping_is_flagged_in_one_lead_and_in_all(ecg, record) -> None:
    signal = np.rint(ecg() * 200) / 200
    assert flags(record(signal)) == ()
    clipped = signal.copy()
    clipped[10] = np.clip(signal[10], None, 0.7)
    assert flags(record(clipped)) == ("saturated",)
    everywhere = np.clip(signal[[0, 1, 6, 7, 8, 9, 10, 11]], -0.5, 0.5)
    assert "saturated" in flags(record(everywhere, leads=INDEPENDENT_LEADS))


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_hum_is_flagged(ecg, record, mains_hz: float) -> None:
    signal = ecg()
    signal[6:] += 0.08 * np.sin(2 * np.pi * mains_hz * np.arange(5000) / 500)
    assert flags(record(signal)) == ("mains_hum",)
    assert flags(record(ecg() + 0.01 * np.sin(2 * np.pi * 55 * np.arange(5000) / 500), leads=LEADS)) == ()


def test_missing_and_derived_leads_are_named(ecg, record) -> None:
    signal = ecg()
    eight = record(signal[[0, 1, 6, 7, 8, 9, 10, 11]], leads=INDEPENDENT_LEADS)
    assert flags(eight) == tuple(f"derived_lead:{lead}" for lead in sorted(("III", "aVR", "aVL", "aVF")))
    eleven = record(signal[:11], leads=LEADS[:11])
    assert reason(eleven) == "missing_leads"
    assert flags(eleven, QualityConfig(required_leads=("I", "II"))) == ("missing_lead:V6",)
    nothing = record(np.full((1, 5000), np.nan), leads=("V1",))
    assert reason(nothing, QualityConfig(required_leads=())) in {"flat", "missing_leads"}


def test_rate_and_duration(ecg, record) -> None:
    assert reason(record(ecg(50.0), 50.0)) == "rate_range"
    assert reason(record(ecg(), 50_000.0)) == "rate_range"
    assert reason(record(ecg(500.0, 2.0))) == "too_short"
    empty = Recording("k", LEADS, 500.0, np.empty((12, 0), np.int16), np.ones(12), np.zeros(12))
    assert reason(empty) == "empty"


def test_padding_is_flagged_and_does_not_count_as_duration(ecg, record) -> None:
    padded = np.pad(ecg(500.0, 7.0), ((0, 0), (800, 700)))
    assert flags(record(padded)) == ("padded",)
    assert flags(record(np.pad(ecg(500.0, 7.0) + 22.0, ((0, 0), (800, 700))))) == ("padded",)
    assert reason(record(np.pad(ecg(500.0, 2.0), ((0, 0), (2000, 2000))))) == "too_short"


def test_padding_counts_samples_that_stand_still() -> None:
    counts = np.array([[5, 5, 5, 6, 7, 7], [1, 1, 1, 1, 1, 1]], np.int16)
    assert padding(counts) == (2, 1)
    assert padding(counts[:, :3]) == (3, 0)
    assert padding(counts[:, 2:5]) == (0, 0)
    assert padding(np.full((2, 4), INVALID_COUNT, np.int16)) == (4, 0)


def test_amplitude_is_the_median_window() -> None:
    signal = np.zeros((3, 1000), np.float32)
    signal[0, ::50] = 2.0
    signal[1, ::50], signal[1, 10] = 2.0, 500.0
    np.testing.assert_allclose(amplitudes(signal, 100.0), [2.0, 2.0, 0.0])


def test_real_records_pass(real: list[Recording]) -> None:
    assert len(real) == 147
    seen = Counter(flag for recording in real for flag in flags(recording))
    assert seen == {"baseline_wander": 6}  # four of them are called drifting by PTB-XL's annotators


@pytest.mark.parametrize(
    ("plant", "wanted"),
    [
        (lambda x: x[[0, 1, 2, 4, 3, 5, 6, 7, 8, 9, 10, 11]], "limb_lead_identity"),
        (lambda x: x[[1, 0, *range(2, 12)]], "limb_lead_identity"),
        (lambda x: x * 1000, "amplitude_high"),
        (lambda x: x / 1000, "amplitude_low"),
        (lambda x: np.where(np.arange(12)[:, None] == 7, 0.02, x), "flat_lead:V2"),
        (lambda x: np.clip(x, 0.6 * x.min(axis=1, keepdims=True), 0.6 * x.max(axis=1, keepdims=True)), "saturated"),
    ],
    ids=["aVR-aVL", "I-II", "x1000", "per1000", "flat", "clipped"],
)
def test_what_is_planted_in_real_records_is_found(real: list[Recording], plant, wanted: str) -> None:
    num_found = 0
    for recording in real:
        changed = Recording.from_millivolts(plant(recording.signal), key="k", rate_hz=recording.rate_hz)
        result = assess(changed, QualityConfig(max_limb_residual_mv=100) if wanted == "saturated" else CONFIG)
        num_found += wanted in ((result.reason,) if isinstance(result, Rejected) else result.flags)
    assert num_found >= 0.99 * len(real), f"{num_found} of {len(real)}"


def test_the_measures_are_floats_in_fixed_columns(ecg, record) -> None:
    signal = np.pad(ecg(500.0, 8.0), ((0, 0), (600, 0)))
    signal[9, 600:] += 0.4 * np.sin(2 * np.pi * 0.25 * np.arange(4000) / 500)
    signal[9, 2000] += 3.0
    signal[10] = 0.2
    signal[11, 3000:3400] = np.nan
    result = assess(record(signal[:, :]), CONFIG)
    assert isinstance(result, Assessed)
    quality = result.quality
    assert len(QUALITY_COLUMNS) == len(astuple(quality)) == 21
    assert all(type(value) is float for value in astuple(quality))
    assert quality.duration_s == pytest.approx(9.2)
    assert quality.padding_before_s == pytest.approx(1.2, abs=0.01)
    assert quality.padding_after_s == 0
    assert (quality.num_leads, quality.num_derived_leads, quality.num_flat_leads) == (12, 0, 1)
    assert quality.nan_share == pytest.approx(400 / 12 / 4000, rel=0.01)
    assert quality.amplitude_min_mv == 0
    assert 1.5 < quality.amplitude_max_mv < 3
    assert quality.limb_residual_mv < 0.001
    assert quality.wander_mv == pytest.approx(0.4 / np.sqrt(2), rel=0.1)
    assert quality.noise_uv == pytest.approx(8, rel=0.4)  # II - I of 5 microvolts each, and more in aVL
    assert quality.spikes_per_10s == pytest.approx(10 / 8, rel=0.01)
    assert quality.pacing_spikes_per_10s == 0
    assert quality.beat_s == pytest.approx(60 / 72, abs=0.02)
    assert np.isnan(quality.reversal_evidence)  # V5 is flat
    slow = assess(record(ecg(100.0), 100.0), CONFIG)
    assert isinstance(slow, Assessed)
    assert np.isnan(slow.quality.spikes_per_10s)
    assert not np.isnan(slow.quality.reversal_evidence)


@pytest.mark.parametrize("irregular", [0.0, 0.25, 0.4])
def test_beats_that_do_not_come_in_time_are_counted_one_by_one(heart, record, irregular: float) -> None:
    """As in atrial fibrillation, where a recording may be most like itself several beats later."""
    intervals = 0.8 + np.random.default_rng(1).uniform(-irregular, irregular, 11)
    onsets = np.cumsum(intervals)
    result = assess(record(heart(onsets), leads=INDEPENDENT_LEADS), CONFIG)
    assert isinstance(result, Assessed)
    assert result.quality.beat_s == pytest.approx(np.median(intervals[1:]), abs=0.02)


def test_time_from_beat_to_beat_is_that_of_another_detector(real: list[Recording]) -> None:
    """Some of these are most like themselves four or five beats later."""
    compared, apart = 0, []
    for recording in real[:40]:
        lead_two = resample(recording.signal[1], recording.rate_hz, 500.0).astype(np.float64)
        theirs = np.asarray(xqrs_detect(lead_two, 500, verbose=False)) / 500
        if len(theirs) < 5:  # it gives up on some low lead II
            continue
        result = assess(recording, CONFIG)
        assert isinstance(result, Assessed)
        compared += 1
        apart.append(abs(result.quality.beat_s / np.median(np.diff(theirs)) - 1))
    assert compared > 30
    assert max(apart) < 0.05


def test_thresholds_are_those_of_the_config(ecg, record) -> None:
    time = np.arange(5000) / 500
    waves = {"wander_mv": (0.2, 0.3), "mains_hum_mv": (0.01, 50.0)}
    for name, (size, frequency) in waves.items():
        signal = ecg()
        signal[7] += size * np.sqrt(2) * np.sin(2 * np.pi * frequency * time)
        assert flags(record(signal)) == ()
        assert len(flags(record(signal), QualityConfig(**{name: 0.9 * size}))) == 1
    signal = ecg()
    signal[7, 1700] += 0.4
    assert flags(record(signal)) == ()
    assert flags(record(signal), QualityConfig(spike_mv=0.3)) == ("spikes",)
    assert flags(record(signal), QualityConfig(spike_mv=0.3, spikes_per_10s=2.0)) == ()


@pytest.mark.parametrize("rate_hz", [250.0, 500.0, 1000.0])
def test_what_is_no_heart_is_no_false_rate(ecg, record, rate_hz: float) -> None:
    time = np.arange(round(10 * rate_hz)) / rate_hz
    generator = np.random.default_rng(0)
    fibrillation = np.outer(generator.normal(0, 0.4, 8), np.sin(2 * np.pi * 5 * time + np.sin(2 * np.pi * 0.4 * time)))
    noise = generator.normal(0, 0.2, (8, len(time)))
    mains = np.outer(generator.normal(0, 0.5, 8), np.sin(2 * np.pi * 50 * time))
    for eight in (fibrillation, noise, mains, mains + fibrillation, mains + 0.1 * noise):
        assert isinstance(assess(record(eight, rate_hz, INDEPENDENT_LEADS), CONFIG), Assessed)


def test_a_false_rate_can_be_let_pass(ecg, record) -> None:
    recording = record(ecg(100.0, 30.0), 500.0)
    assert reason(recording) == "rate_contradiction"
    assert isinstance(assess(recording, QualityConfig(min_qrs_s=0.0)), Assessed)
    recording = record(ecg(500.0, 30.0), 100.0)
    assert reason(recording) == "rate_contradiction"
    assert isinstance(assess(recording, QualityConfig(max_qrs_s=10.0)), Assessed)


def test_unknown_leads_in_the_config_are_named() -> None:
    with pytest.raises(UsageError, match="unknown lead 'V9'"):
        decode(QualityConfig, {"required_leads": ["V9"]})
