"""The picture of neighbours shows what it is given, and no text in it lies on other text."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from hemometric.distances import path
from hemometric.ecg import INDEPENDENT_LEADS, LEADS
from hemometric.evaluation import Warp, neighbours_figure
from hemometric.evaluation.figures.style import SERIES

NAMES = ["recording 0143f0a9…", *(f"{rank}: bc4fe9d{rank}…  0.001478 mV²" for rank in range(1, 5))]


def beats(num=5, leads=8, samples=70, scale=1.0, seed=0):
    steps = np.random.default_rng(seed).standard_normal((num, leads, samples))
    return scale * np.cumsum(steps, axis=2) / 8


def warp_of(signals, leads, row=0):
    return Warp(leads[row], path(signals[0], signals[1]), "Lead I: lines join the samples")


def drawn_lines(axes):
    """Data of the traces by colour: what is drawn in data coordinates from end to end."""
    return {to_hex(line.get_color()): line.get_xydata() for line in axes.lines if len(line.get_xdata()) > 2}


def test_each_panel_shows_one_lead_of_all_in_black_and_colours():
    signals = beats()
    figure = neighbours_figure(signals, 100, INDEPENDENT_LEADS, NAMES, start_s=-0.25, time="time from QRS")
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(INDEPENDENT_LEADS)
    for lead, axes in enumerate(figure.axes):
        found = drawn_lines(axes)
        assert set(found) == {"#000000", *SERIES[:4]}
        for color, signal in zip(["#000000", *SERIES], signals, strict=False):
            np.testing.assert_allclose(found[color][:, 0], np.arange(70) * 10 - 250)
            np.testing.assert_allclose(found[color][:, 1], signal[lead])
        low, high = axes.get_ylim()
        assert low <= signals[:, lead].min()
        assert high >= signals[:, lead].max()
    spans = [np.ptp(axes.get_ylim()) for axes in figure.axes]
    np.testing.assert_allclose(spans, spans[0], err_msg="a millivolt is as high in every lead")
    assert figure.axes[1].get_xlabel() == "time from QRS (ms)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == NAMES


def test_lines_join_what_the_path_says():
    signals = beats(samples=40)
    warp = warp_of(signals, INDEPENDENT_LEADS)
    figure = neighbours_figure(signals, 100, INDEPENDENT_LEADS, NAMES, warp=warp)
    axes = figure.axes[-1]
    (joined,) = [found for found in axes.collections if isinstance(found, LineCollection)]
    traces = drawn_lines(axes)
    mine, its = traces["#000000"], traces[SERIES[0]]
    shown = {(round(a[0] / 10), round(b[0] / 10)) for a, b in (line for line in joined.get_segments())}
    assert shown == set(map(tuple, warp.steps.tolist()))
    for (x, y), (other_x, other_y) in joined.get_segments():
        assert [x, y] in mine.tolist()
        assert [other_x, other_y] in its.tolist()
    assert (mine[:, 1] > its[:, 1]).all(), "one lies above the other"


def test_two_like_traces_take_most_of_the_height_that_their_path_is_shown_on():
    signals = beats(num=2)
    signals[1] = 0.9 * signals[0] + 0.2
    figure = neighbours_figure(signals, 100, INDEPENDENT_LEADS, NAMES[:2], warp=warp_of(signals, INDEPENDENT_LEADS))
    axes = figure.axes[-1]
    for trace in drawn_lines(axes).values():
        assert np.ptp(trace[:, 1]) > 0.6 * np.ptp(axes.get_ylim())


def test_a_long_path_is_thinned():
    signals = beats(num=2, samples=900)
    figure = neighbours_figure(signals, 100, LEADS[:8], NAMES[:2], warp=warp_of(signals, LEADS), stacked=True)
    (joined,) = figure.axes[-1].collections
    assert 40 < len(joined.get_segments()) <= 80


def test_stacked_traces_clear_each_other_and_keep_their_shape():
    signals = beats(samples=300)
    figure = neighbours_figure(signals, 100, INDEPENDENT_LEADS, NAMES, stacked=True)
    assert figure.axes[1].get_xlabel() == "time (s)"
    for lead, axes in enumerate(figure.axes):
        traces = [drawn_lines(axes)[color][:, 1] for color in ("#000000", *SERIES[:4])]
        for above, below in itertools.pairwise(traces):
            assert above.min() >= below.max() - 1e-9
        for trace, signal in zip(traces, signals, strict=True):
            np.testing.assert_allclose(trace - trace[0], signal[lead] - signal[lead, 0], atol=1e-9)


@pytest.mark.parametrize("leads", [LEADS, INDEPENDENT_LEADS, LEADS[1:2], LEADS[:5]], ids=len)
@pytest.mark.parametrize(
    ("samples", "stacked", "scale"), [(70, False, 1.0), (70, False, 1e-3), (300, True, 300.0), (70, True, 1.0)]
)
def test_no_text_lies_on_other_text_or_beyond_the_page(leads, samples, stacked, scale):
    signals = beats(leads=len(leads), samples=samples, scale=scale)
    figure = neighbours_figure(
        signals, 100, leads, NAMES, title="Recording", note="beats", stacked=stacked, warp=warp_of(signals, leads)
    )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    page = figure.bbox
    texts = [*figure.texts, *figure.legends[0].get_texts()]
    for axes in figure.axes:
        texts += [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        low, high = sorted(axes.get_ylim())
        texts += [
            label
            for place, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
            if low <= place <= high
        ]
        first, last = axes.get_xlim()
        texts += [
            label
            for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
            if first <= place <= last
        ]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text() and text.get_visible()]
    assert len(boxes) > 10
    for name, box in boxes:
        assert page.x0 <= box.x0, name
        assert box.x1 <= page.x1, name
        assert page.y0 <= box.y0, name
        assert box.y1 <= page.y1, name
    for (name, one), (other_name, other) in itertools.combinations(boxes, 2):
        assert not one.overlaps(other), (name, other_name)


@pytest.mark.parametrize("samples", [1, 50])
def test_flat_and_short_signals_are_drawn(samples):
    flat = np.zeros((2, 2, samples))
    for stacked in (False, True):
        figure = neighbours_figure(flat, 100, LEADS[:2], NAMES[:2], stacked=stacked, warp=warp_of(flat, LEADS))
        drawn = [line for axes in figure.axes for line in axes.get_lines() if len(line.get_xdata()) == samples]
        assert len(drawn) >= flat.shape[0] * flat.shape[1] + 2, "each signal in each lead, and both of the warp"


@pytest.mark.parametrize(
    ("signals", "rate_hz", "message"),
    [
        (beats()[0], 100, r"shape \(8, 70\); expected \[5 names, 8 leads, sample\]"),
        (beats(num=4), 100, r"shape \(4, 8, 70\)"),
        (beats(leads=7), 100, r"shape \(5, 7, 70\)"),
        (beats(samples=0), 100, "shape"),
        (beats() * np.nan, 100, "NaN"),
        (beats(), 0, "rate_hz=0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(signals, rate_hz, message):
    with pytest.raises(ValueError, match=message):
        neighbours_figure(signals, rate_hz, INDEPENDENT_LEADS, NAMES)
