"""A recording and its nearest neighbours in a graph, drawn as they were compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hemometric.corpus import Corpus
from hemometric.corpus.files import usable
from hemometric.distances import DtwDistance, path
from hemometric.ecg import INDEPENDENT_LEADS, Float32, Rejected
from hemometric.errors import IntegrityError, UsageError
from hemometric.evaluation import Warp, neighbours_figure, save_page
from hemometric.mining.compared import MedianBeat, comparable
from hemometric.runs.neighbour_folder import GraphFolder
from hemometric.waveform import prepare

NUM_DRAWN = 4
SHOWN_S = 3.0
"""What is shown of whole records."""

DPI = 150.0
_NUM_DIGITS = 8
_PLACES = 4
_DOT = "\u2003·\u2003"


def draw_neighbours(corpus: Corpus, graph: GraphFolder, recording_id: str, out: Path) -> list[str]:
    """Draw a recording with its nearest neighbours, and say who they are.

    Raises
    ------
    UsageError
        The corpus or the graph lacks the recording, or the file cannot be written.
    PrecheckError
        The disk is full.
    """
    mine = _as_compared(corpus, graph, recording_id)
    found = graph.nearest(recording_id)
    if not found:
        why = "its split was not compared" if mine is not None else "it holds nothing to compare and was left out"
        raise UsageError(f"recording {recording_id} is not in the graph {graph.path}: {why}; draw another")
    drawn = found[:NUM_DRAWN]
    signals = [mine, *(_as_compared(corpus, graph, neighbour) for neighbour, _ in drawn)]
    present = [signal for signal in signals if signal is not None]
    if len(present) < len(signals):
        raise IntegrityError(f"{graph.path} has neighbours that hold nothing to compare; remove it and build it again")
    compared, leads, shown = graph.summary.compared, _leads(graph), np.stack(present)
    is_beat = isinstance(compared, MedianBeat)
    before = round(compared.before_s * compared.rate_hz) if isinstance(compared, MedianBeat) else 0
    num_shown = shown.shape[2] if is_beat else min(shown.shape[2], round(SHOWN_S * compared.rate_hz))
    num = graph.summary.num_candidates
    among = f"{'' if num is None else f'among {num} candidates '}of {graph.summary.num_others}"
    figure = neighbours_figure(
        shown[:, :, :num_shown],
        compared.rate_hz,
        leads,
        [f"recording {_short(recording_id)}", *_legend(graph, drawn)],
        title=f"Recording {_short(recording_id)} and its {len(drawn)} nearest {among}",
        note=_DOT.join(_words(graph)),
        start_s=-before / compared.rate_hz,
        time="time from QRS" if is_beat else "time",
        unit="mV" if compared.gain == "none" else "RMS",
        stacked=not is_beat,
        warp=_warp(graph, shown, leads, num_shown),
    )
    with usable(out, "out"):
        save_page(figure, out, DPI)
    lines = [f"{rank}: {name}, {_distance(graph, distance)}" for rank, (name, distance) in enumerate(found, start=1)]
    return [f"neighbours of {recording_id} in {graph.path}:", *lines, f"page: {out}"]


def _as_compared(corpus: Corpus, graph: GraphFolder, recording_id: str) -> Float32 | None:
    """Give what is compared of a recording, [lead, sample], if it holds that; of reduced leads all twelve."""
    prepared = prepare(corpus.recording(recording_id), graph.summary.preparation)
    if isinstance(prepared, Rejected):
        return None
    look = graph.summary.compared
    if look.leads == "reduced":
        look = look.model_copy(update={"leads": "all"})
    signals = look.build()(prepared[None], graph.summary.preparation.rate_hz, graph.summary.preparation.leads)
    return signals[0] if comparable(signals)[0] else None


def _leads(graph: GraphFolder) -> list[str]:
    wanted = INDEPENDENT_LEADS if graph.summary.compared.leads == "independent" else graph.summary.preparation.leads
    return [lead for lead in graph.summary.preparation.leads if lead in wanted]


def _warp(graph: GraphFolder, signals: Float32, leads: Sequence[str], num_shown: int) -> Warp | None:
    """Give the path between the recording and its nearest, where that is what the distance is made of.

    It is shown in the lead that is largest in the recording.
    """
    distance = graph.summary.distance
    if not isinstance(distance, DtwDistance):
        return None
    row = int(np.ptp(signals[0, :, :num_shown], axis=1).argmax())
    one_path = distance.metric == "dependent"
    rows = slice(None) if one_path else slice(row, row + 1)
    window = min(distance.window, signals.shape[2]) if isinstance(distance.window, int) else distance.window
    steps = path(signals[0, rows], signals[1, rows], window=window)
    whose = "one path for all leads" if one_path else "each lead has its own path"
    return Warp(
        leads[row],
        steps[(steps < num_shown).all(axis=1)],
        f"Lead {leads[row]} of the recording and of its nearest: lines join the samples that are compared ({whose})",
    )


def _words(graph: GraphFolder) -> list[str]:
    """Say what was compared, and how."""
    compared, distance = graph.summary.compared, graph.summary.distance
    if isinstance(compared, MedianBeat):
        what = f"median beats at {compared.rate_hz:g} Hz"
    else:
        what = f"whole records at {compared.rate_hz:g} Hz, of which the first {SHOWN_S:g} s are shown"
    gain = {"none": "", "record": "each record in units of its RMS", "lead": "each lead in units of its RMS"}
    if isinstance(distance, DtwDistance):
        band = distance.window
        width = (
            "" if band is None else f", band {100 * band:g} %" if isinstance(band, float) else f", band {band} samples"
        )
        how = "DTW" + width
    else:
        how = distance.kind.replace("_", " ")
    means = f"beside each id its {'' if distance.kind == 'mean_absolute' else 'squared '}distance"
    return [words for words in (what, gain[compared.gain], how, means) if words]


def _legend(graph: GraphFolder, drawn: Sequence[tuple[str, float]]) -> list[str]:
    return [f"{rank}: {_short(name)}  {_distance(graph, far)}" for rank, (name, far) in enumerate(drawn, start=1)]


def _distance(graph: GraphFolder, distance: float) -> str:
    power = "" if graph.summary.distance.kind == "mean_absolute" else "²"
    unit = f" mV{power}" if graph.summary.compared.gain == "none" else ""
    digits = np.format_float_positional(distance, precision=_PLACES, unique=False, fractional=False).removesuffix(".")
    return f"{digits}{unit}"


def _short(recording_id: str) -> str:
    return recording_id if len(recording_id) <= _NUM_DIGITS else f"{recording_id[:_NUM_DIGITS]}…"
