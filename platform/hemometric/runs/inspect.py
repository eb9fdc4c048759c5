"""Looking at a corpus: what it holds, whether it is whole, and one recording as a page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hemometric.corpus import Corpus, open_corpus, verify
from hemometric.corpus.files import usable
from hemometric.errors import UsageError
from hemometric.evaluation import ecg_page, save_page
from hemometric.runs.ingest_summary import summary
from hemometric.runs.neighbour_folder import open_graph
from hemometric.runs.neighbour_picture import draw_neighbours
from hemometric.runs.site_counts import site_lines
from hemometric.runs.words import counted
from hemometric.waveform import standard_leads

NUM_IDS = 3
FIRST = "first"


def verify_corpus(path: Path) -> list[str]:
    """Hash every file again; an error is raised for the first that is wrong."""
    manifest = verify(path)
    counts = manifest.counts
    held = f"{counted(counts.accepted, 'recording')} in {counted(len(manifest.shards), 'shard')}"
    return [f"{path}: whole; {held}, every hash, row, split and partition as the manifest says"]


def inspect_corpus(path: Path, *, draw: str | None, out: Path, neighbours: Path | None = None) -> list[str]:
    """Say what a corpus holds; with `draw`, write one recording as a clinical page, or beside its neighbours.

    Parameters
    ----------
    draw : str or None
        A recording id, the beginning of one, or ``first``.
    neighbours : Path, optional
        Folder of a neighbour graph of this corpus, or its table: the recording is drawn with its nearest instead.
    out : Path
        PNG, PDF or SVG to write.

    Raises
    ------
    UsageError
        No recording has such an id, or several begin so, or the file cannot be written; the graph is not of this
        corpus, lacks the recording, or nobody is to be drawn.
    IntegrityError
        A shard or the graph is damaged.
    """
    if neighbours is not None and draw is None:
        raise UsageError("neighbours: say whose are to be drawn, with --draw ID or --draw first")
    corpus = open_corpus(path)
    table = corpus.table(columns=["recording_id", "rate_hz", "num_samples", "source_format", "flags"])
    ids: list[str] = table["recording_id"].to_pylist()
    rates = Counter(table["rate_hz"].to_pylist())
    formats = Counter(table["source_format"].to_pylist())
    flags = Counter(flag for found in table["flags"].to_pylist() for flag in found or ())
    durations = sorted(
        samples / rate
        for samples, rate in zip(table["num_samples"].to_pylist(), table["rate_hz"].to_pylist(), strict=True)
    )
    lines = [
        *summary(corpus.manifest),
        *site_lines(corpus),
        "rates: " + ", ".join(f"{rate:g} Hz on {count}" for rate, count in sorted(rates.items())),
        f"duration: {durations[0]:.1f} to {durations[-1]:.1f} s",
        "formats: " + ", ".join(f"{name} {count}" for name, count in sorted(formats.items())),
        "quality flags: " + (", ".join(f"{flag} {count}" for flag, count in sorted(flags.items())) or "none"),
        f"corpus hash: {corpus.hash[:16]}, pseudonym key {corpus.manifest.key_id}",
        f"recording ids: {', '.join(sorted(ids)[:NUM_IDS])}, …",
    ]
    if draw is not None and neighbours is not None:
        graph = open_graph(neighbours, corpus)
        chosen = graph.first() if draw == FIRST else _chosen(ids, draw)
        lines += draw_neighbours(corpus, graph, chosen, out)
    elif draw is not None:
        lines.append(f"page: {draw_page(corpus, _chosen(ids, draw), out)}")
    return lines


def _chosen(ids: list[str], wanted: str) -> str:
    """Find the one recording id that is meant; what is none is left to whoever opens it."""
    if wanted == FIRST:
        return min(ids)
    found = [wanted] if wanted in ids else sorted(name for name in ids if wanted and name.startswith(wanted))
    if len(found) > 1:
        raise UsageError(
            f"draw: {len(found)} recording ids begin with {wanted!r}, such as {', '.join(found[:NUM_IDS])}; give more "
            "of the one you mean"
        )
    return found[0] if found else wanted


def draw_page(corpus: Corpus, recording_id: str, out: Path) -> Path:
    """Write one recording of a corpus as a 12-lead page.

    Raises
    ------
    UsageError
        There is no such recording, or the file cannot be written.
    PrecheckError
        The disk is full.
    """
    recording = corpus.recording(recording_id)
    signal, _ = standard_leads(recording.signal, recording.leads)
    details = (f"{recording.rate_hz:g} Hz", f"{recording.duration_s:.1f} s")
    with usable(out, "out"):
        return save_page(ecg_page(signal, recording.rate_hz, f"Recording {recording_id}", details), out)
