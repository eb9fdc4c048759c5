"""The signals of one ordinary WFDB record that are standard leads: files of samples into traces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hemometric.ecg import canonical_lead
from hemometric.vendors.scale import ABSENT, Int32, checked_gain_per_mv, checked_rate_hz, units_per_mv
from hemometric.vendors.source import MAX_VALUES, ReadError, read_bounded, read_whole
from hemometric.vendors.traces import Trace
from hemometric.vendors.wfdb_flac import FLAC_FORMATS, decode_flac
from hemometric.vendors.wfdb_header import Header, SignalLine
from hemometric.vendors.wfdb_names import beside
from hemometric.vendors.wfdb_samples import FORMATS, Counts, decode, num_bytes, num_values

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_.\-]{0,254}", re.ASCII)
_MAX_OFFSET = 1 << 30
_NULL_FORMAT = 0
_STORED = sorted(FORMATS | FLAC_FORMATS)


@dataclass(frozen=True, eq=False)
class Signals:
    """The standard leads of one record.

    Attributes
    ----------
    rate_hz : float
    per_frame : int
        Samples of each lead in a frame, the unit in which headers count time.
    traces : mapping of str to Trace
        By lead, in the order of the header; all of one length.
    num_decoded : int
        Samples of all signals that had to be decoded for them.
    """

    rate_hz: float
    per_frame: int
    traces: Mapping[str, Trace]
    num_decoded: int


def leads_of(header: Header) -> dict[str, int]:
    """Find the signals that are standard leads, by lead.

    Raises
    ------
    ReadError
        ``duplicate_lead``.
    """
    leads: dict[str, int] = {}
    for index, signal in enumerate(header.signals):
        lead = canonical_lead(signal.description)
        if lead is None:
            continue
        if lead in leads:
            raise ReadError("duplicate_lead", f"lead {lead} stands twice in the header")
        leads[lead] = index
    return leads


def read_signals(path: Path, header: Header, max_values: int = MAX_VALUES) -> Signals:
    """Read the leads of one record, and verify the checksum of each signal in their files.

    Signals that lie in other files are not read; leads that are declared to be without samples are left out.

    Parameters
    ----------
    path : Path
        The header's own; signal files are taken from its folder only.
    header : Header
        One without segments.
    max_values : int
        Samples of all signals of a file together that may be decoded.

    Raises
    ------
    ReadError
        Everything that is wrong with them.
    OSError
        As for `read_bounded`.
    """
    leads = {lead: index for lead, index in leads_of(header).items() if header.signals[index].format != _NULL_FORMAT}
    if not leads:
        raise ReadError("no_standard_lead", f"none of its {header.num_signals} signals is a standard lead with samples")
    gains = {lead: _checked(header.signals[index], lead) for lead, index in leads.items()}
    rates = {header.signals[index].per_frame for index in leads.values()}
    if len(rates) > 1:
        raise ReadError("mixed_rates", f"its leads have {len(rates)} sampling rates")
    (per_frame,) = rates
    rate_hz = checked_rate_hz(header.rate_hz and header.rate_hz * per_frame)
    counts: dict[int, Int32] = {}
    num_decoded = 0
    for file in dict.fromkeys(header.signals[index].file for index in leads.values()):
        members = [index for index, signal in enumerate(header.signals) if signal.file == file]
        rows = _read_file(path, header, members, max_values - num_decoded)
        num_decoded += sum(row.size for row in rows)
        counts |= dict(zip(members, rows, strict=True))
    lengths = {counts[index].size for index in leads.values()}
    if len(lengths) > 1:
        raise ReadError("truncated", "the signal files hold different numbers of samples")
    traces = {lead: Trace(counts[index], gains[lead], header.signals[index].baseline) for lead, index in leads.items()}
    return Signals(rate_hz, per_frame, traces, num_decoded)


def signal_files(header: Header) -> tuple[str, ...]:
    """Name the signal files, each once; names that are no plain ones of the header's folder are left out."""
    return tuple(dict.fromkeys(signal.file for signal in header.signals if _PLAIN_NAME.fullmatch(signal.file)))


def _checked(signal: SignalLine, lead: str) -> float:
    """Give the gain of a lead whose line can be followed."""
    if not _PLAIN_NAME.fullmatch(signal.file):
        raise ReadError("unsafe_name", f"the file of lead {lead} is not a plain name in the header's own folder")
    if signal.format not in _STORED:
        known = ", ".join(str(storage) for storage in _STORED)
        raise ReadError("unsupported", f"lead {lead} is stored in format {signal.format}; read are {known}")
    if signal.byte_offset > _MAX_OFFSET:
        raise ReadError("truncated", f"the samples of lead {lead} begin at byte {signal.byte_offset}")
    return checked_gain_per_mv((signal.gain or 0.0) * units_per_mv(signal.unit, lead), lead)


def _read_file(path: Path, header: Header, members: list[int], max_values: int) -> list[Int32]:
    """Read the signals of one file, int32 [sample] each."""
    signals = [header.signals[index] for index in members]
    storage, offset = signals[0].format, signals[0].byte_offset
    if any(signal.format != storage or signal.byte_offset not in (0, offset) for signal in signals):
        raise ReadError("unreadable", "the signals of one file differ in format or place")
    frame = sum(signal.per_frame for signal in signals)
    if header.num_frames is not None and header.num_frames * frame > max_values:
        raise ReadError(
            "too_long", f"the header announces {header.num_frames} frames; at most {MAX_VALUES} samples are read"
        )
    of_kind = _flac_frames if storage in FLAC_FORMATS else _plain_frames
    try:
        frames = of_kind(beside(path, signals[0].file), signals, header.num_frames, max_values)
    except FileNotFoundError:
        raise ReadError("missing_file", "a file that the header names is not in its folder") from None
    if len(frames) == 0:
        raise ReadError("truncated", "the signal file holds no samples")
    ends = np.cumsum([signal.per_frame for signal in signals])
    parts = np.split(frames, ends[:-1], axis=1)
    return [_counts(part.reshape(-1), signal) for part, signal in zip(parts, signals, strict=True)]


def _plain_frames(path: Path, signals: list[SignalLine], num_frames: int | None, max_values: int) -> Counts:
    """Read plain bytes, [frame, sample of the frame]."""
    storage, frame = signals[0].format, sum(signal.per_frame for signal in signals)
    wanted = num_bytes(storage, max_values + 1 if num_frames is None else num_frames * frame)
    content = read_bounded(path, wanted, signals[0].byte_offset)
    if num_frames is None:
        num_frames = num_values(storage, len(content)) // frame
        if num_frames * frame > max_values:
            raise ReadError("too_long", f"more than {MAX_VALUES} samples")
    elif len(content) < wanted:
        raise ReadError("truncated", f"{len(content)} of {wanted} bytes of samples are there")
    return decode(content, storage, num_frames * frame).reshape(num_frames, frame)


def _flac_frames(path: Path, signals: list[SignalLine], num_frames: int | None, max_values: int) -> Counts:
    """Read a FLAC stream, [frame, sample of the frame]; its offset counts samples, not bytes."""
    per_frame, offset = signals[0].per_frame, signals[0].byte_offset
    if any(signal.per_frame != per_frame for signal in signals):
        raise ReadError("unreadable", "the signals of one FLAC stream differ in their samples in a frame")
    counts = decode_flac(read_whole(path), signals[0].format, len(signals), max_values)[offset:]
    if num_frames is None:
        num_frames = len(counts) // per_frame
    elif len(counts) < num_frames * per_frame:
        raise ReadError("truncated", f"{len(counts)} of {num_frames * per_frame} samples a signal are there")
    by_frame = counts[: num_frames * per_frame].reshape(num_frames, per_frame, len(signals))
    return by_frame.transpose(0, 2, 1).reshape(num_frames, per_frame * len(signals))


def _counts(stored: Counts, signal: SignalLine) -> Int32:
    """Verify the samples of one signal, mark absent ones, and put them where they belong in time."""
    if signal.format == 8:
        stored = signal.initial + np.cumsum(stored, dtype=np.int64)
        if np.abs(stored).max() >= 2**31:
            raise ReadError("unreadable", "the samples leave the range of 32 bits")
    if signal.checksum is not None and (int(stored.sum(dtype=np.int64)) - signal.checksum) % 65536:
        raise ReadError("checksum", "the samples do not add up to the checksum of the header")
    mark = FORMATS[signal.format][2] if signal.format in FORMATS else FLAC_FORMATS[signal.format][1]
    counts = stored.astype(np.int32)
    if mark is not None:
        counts[stored == mark] = ABSENT
    if signal.skew:  # so many frames of this signal lie before the others' first, and are missing at its end
        moved = np.full_like(counts, ABSENT)
        there = counts[signal.skew * signal.per_frame :]
        moved[: there.size] = there
        counts = moved
    return counts
