"""Multi-segment WFDB records: ordinary records one after the other, with gaps, made into one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from hemometric.vendors.source import MAX_VALUES, ReadError, read_bounded
from hemometric.vendors.traces import Lead, Trace, join
from hemometric.vendors.wfdb_header import MAX_HEADER_BYTES, NULL, Header, Segment, parse_header
from hemometric.vendors.wfdb_names import beside
from hemometric.vendors.wfdb_signals import Signals, leads_of, read_signals, signal_files

MAX_SEGMENTS = 4096


def segment_path(path: Path, segment: Segment) -> Path:
    """Name the header of a segment, beside the record's own."""
    return beside(path, f"{segment.name}{path.suffix}")


def segment_paths(path: Path, header: Header) -> tuple[Path, ...]:
    """Name the headers of all segments, each once."""
    named = (segment_path(path, segment) for segment in header.segments[:MAX_SEGMENTS] if segment.name != NULL)
    return tuple(dict.fromkeys(named))


def claimed_segments(path: Path, header: Header) -> tuple[Path, ...]:
    """Name the headers of the segments if the record can be read as one; none else, so that it hides no good ECG.

    All headers are read, and the signal files must be there; no sample is decoded.
    """
    try:
        _check_headers(path, header)
    except (OSError, ReadError):
        return ()
    return segment_paths(path, header)


def read_segments(path: Path, header: Header) -> tuple[float, dict[str, Lead]]:
    """Read a record of several segments as one.

    In a fixed layout all segments have the same leads. In a variable layout the first segment has no samples; its
    header lists the leads, of which a segment may lack any. What no segment covers is absent.

    Returns
    -------
    rate_hz : float
    leads : dict of str to Lead
        In the order of the layout, or of the first segment. Leads that no segment holds are left out.

    Raises
    ------
    ReadError
        Everything that is wrong with it or with one of its segments; a record with a bad segment is refused whole.

    References
    ----------
    WFDB Applications Guide, header(5), "Multi-segment records".
    """
    segments = _complete(header)
    is_variable = segments[0].num_frames == 0 and segments[0].name != NULL
    layout = list(leads_of(_header(path, segments[0]))) if is_variable else None
    segments = segments[1:] if is_variable else segments
    num_frames = _num_frames(header, segments)
    pieces: dict[str, list[tuple[int, Trace]]] = {lead: [] for lead in layout or ()}
    rate_hz, per_frame = 0.0, 0
    for start, signals in _read(path, header, segments, max_values=MAX_VALUES):
        if not per_frame:
            rate_hz, per_frame = signals.rate_hz, signals.per_frame
            if num_frames * per_frame * len(layout or signals.traces) > MAX_VALUES:
                raise ReadError("too_long", f"{num_frames} frames with its gaps; at most {MAX_VALUES} samples are read")
        if signals.per_frame != per_frame:
            raise ReadError("mixed_rates", "its leads have several sampling rates")
        if layout is None:
            layout = list(signals.traces)
            pieces = {lead: [] for lead in layout}
        _check_leads(signals.traces, set(layout), is_variable=is_variable)
        for lead, trace in signals.traces.items():
            pieces[lead].append((start * per_frame, trace))
    leads = {lead: join(traces, num_frames * per_frame) for lead, traces in pieces.items() if traces}
    if not leads:
        raise ReadError("no_standard_lead", f"none of its {len(segments)} segments holds a standard lead")
    return rate_hz, leads


def _header(path: Path, segment: Segment) -> Header:
    try:
        header = parse_header(read_bounded(segment_path(path, segment), MAX_HEADER_BYTES + 1))
    except FileNotFoundError:
        raise ReadError("missing_file", "a segment that the header names is not in its folder") from None
    if header.num_segments is not None:
        raise ReadError("unsupported", "a segment consists of segments itself")
    return header


def _check_headers(path: Path, header: Header) -> None:
    """Refuse, by its headers only, what `read_segments` would refuse."""
    segments = _complete(header)
    is_variable = segments[0].num_frames == 0 and segments[0].name != NULL
    layout = set(leads_of(_header(path, segments[0]))) if is_variable else None
    segments = segments[1:] if is_variable else segments
    _num_frames(header, segments)
    for segment in dict.fromkeys(segments):  # the same one may come often
        if segment.name == NULL:
            continue
        own, at = _header_of(path, header, segment), segment_path(path, segment)
        leads = leads_of(own)
        files = {own.signals[index].file for index in leads.values()}
        if not files <= set(signal_files(own)) or not all(beside(at, name).is_file() for name in files):
            raise ReadError("missing_file", "a file that the header names is not in its folder")
        if leads:
            layout = set(leads) if layout is None else layout
            _check_leads(leads, layout, is_variable=is_variable)


def _check_leads(leads: Collection[str], layout: set[str], *, is_variable: bool) -> None:
    if not layout.issuperset(leads) or (not is_variable and len(leads) != len(layout)):
        raise ReadError("unreadable", "a segment does not have the leads that its record announces")


def _complete(header: Header) -> tuple[Segment, ...]:
    """Give the segments if there are as many as announced."""
    announced, found = header.num_segments, len(header.segments)
    if not announced or found > announced:
        raise ReadError("unreadable", f"the header announces {announced} segments and lists {found}")
    if found < announced:
        raise ReadError("truncated", f"the header announces {announced} segments and lists {found}")
    if found > MAX_SEGMENTS:
        raise ReadError("too_long", f"the record has {found} segments; at most {MAX_SEGMENTS} are read")
    return header.segments


def _num_frames(header: Header, segments: tuple[Segment, ...]) -> int:
    """Add up the frames of all segments, and compare them with what the record says."""
    if any(segment.num_frames == 0 for segment in segments):
        raise ReadError("unreadable", "a segment other than the first has no length")
    num_frames = sum(segment.num_frames for segment in segments)
    if header.num_frames not in (None, num_frames):
        raise ReadError("unreadable", f"its segments have {num_frames} frames, the record {header.num_frames}")
    if num_frames > MAX_VALUES:
        raise ReadError("too_long", f"its segments have {num_frames} frames; at most {MAX_VALUES} samples are read")
    return num_frames


def _read(path: Path, header: Header, segments: tuple[Segment, ...], max_values: int) -> Iterator[tuple[int, Signals]]:
    """Yield the signals of each segment that has leads, with the frame at which it begins."""
    start = 0
    for segment in segments:
        if segment.name != NULL:
            own = _header_of(path, header, segment)
            if leads_of(own):
                whole = replace(own, num_frames=segment.num_frames)
                signals = read_signals(segment_path(path, segment), whole, max_values)
                max_values -= signals.num_decoded
                yield start, signals
        start += segment.num_frames


def _header_of(path: Path, header: Header, segment: Segment) -> Header:
    """Read the header of a segment that has samples, and compare it with what the record says."""
    own = _header(path, segment)
    if own.num_frames not in (None, segment.num_frames):
        raise ReadError("unreadable", "the header of a segment gives another length than its record")
    if own.rate_hz != header.rate_hz:
        raise ReadError("mixed_rates", "a segment has another sampling rate than its record")
    return own
