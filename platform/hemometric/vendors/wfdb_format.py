"""WFDB records (PhysioNet): a text header and one or more files of interleaved samples.

The samples are decoded here and not by the `wfdb` package: that package turns a gain of 0 into 200, leaves checksums
unchecked, and follows file names to other folders and to the network. It is the oracle of this room's tests.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hemometric.ecg import INVALID_COUNT, Float64, Int16, Recording
from hemometric.vendors.demographics import age_from_text, sex_from_text
from hemometric.vendors.scale import checked_gain_per_mv, checked_rate_hz, units_per_mv
from hemometric.vendors.source import MAX_VALUES, ReadError, Vendor, one_ecg, read_bounded
from hemometric.vendors.wfdb_header import MAX_HEADER_BYTES, Header, SignalLine, parse_header
from hemometric.vendors.wfdb_samples import FORMATS, Counts, decode, num_bytes, num_values, to_int16
from hemometric.waveform import canonical_lead

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_.\-]{0,254}", re.ASCII)
_MAX_OFFSET = 1 << 30


def _sniff(path: Path, head: bytes) -> bool:
    """Whether the file is a WFDB header: one by its suffix, and not another format's by its content."""
    if path.suffix.casefold() != ".hea":
        return False
    return not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"\x89HDF", b"PK\x03\x04"))


def _parts(path: Path) -> tuple[Path, ...]:
    """Headers of the segments, if the record has segments."""
    try:
        header = parse_header(read_bounded(path, MAX_HEADER_BYTES + 1))
    except (OSError, ReadError):
        return ()
    return tuple(path.with_name(f"{segment}{path.suffix}") for segment in header.segments)


def _read(path: Path, key: str) -> Recording:
    header = parse_header(read_bounded(path, MAX_HEADER_BYTES + 1))
    chosen = _chosen(header)
    rate_hz = _rate_hz(header)
    counts: dict[int, Counts] = {}
    for file in dict.fromkeys(header.signals[index].file for index in chosen):
        counts |= _read_file(path, header, file)

    lengths = {counts[index].size for index in chosen}
    if len(lengths) > 1:
        raise ReadError("truncated", "the signal files hold different numbers of samples")
    rows: list[Int16] = []
    gains: list[float] = []
    offsets: list[float] = []
    errors_mv: list[float] = []
    for index, lead in chosen.items():
        signal = header.signals[index]
        gain_per_mv = _gain_per_mv(signal, lead)
        row, step, centre = _as_int16(counts[index], signal.format)
        rows.append(row)
        gains.append(gain_per_mv / step)
        offsets.append((signal.baseline - centre) / step)
        errors_mv.append(0.5 * step / gain_per_mv if step > 1 else 0.0)
    comments = dict(reversed(header.comments))  # the first of a kind counts
    return Recording(
        key=key,
        leads=tuple(chosen.values()),
        rate_hz=rate_hz,
        counts=np.stack(rows),
        gain_per_mv=_float64(gains),
        offset_counts=_float64(offsets),
        patient_id=next((comments[name] for name in ("patientid", "subjectid") if comments.get(name)), None),
        age_years=age_from_text(comments.get("age", "")),
        sex=sex_from_text(comments.get("sex", comments.get("gender", ""))),
        source_format="wfdb",
        quantisation_error_mv=max(errors_mv),
    )


def _chosen(header: Header) -> dict[int, str]:
    """Find the signals that are standard leads, and refuse what cannot be read as one ECG at one rate."""
    if header.segments:
        raise ReadError("unsupported", f"the record consists of {len(header.segments)} segments")
    chosen: dict[int, str] = {}
    for index, signal in enumerate(header.signals):
        lead = canonical_lead(signal.description)
        if lead is None:
            continue
        if lead in chosen.values():
            raise ReadError("duplicate_lead", f"lead {lead} stands twice in the header")
        chosen[index] = lead
    if not chosen:
        raise ReadError("no_standard_lead", f"none of its {header.num_signals} signals is named as a standard lead")
    if len({signal.per_frame for signal in header.signals}) > 1:
        raise ReadError("unsupported", "its signals have several sampling rates")
    for index, lead in chosen.items():
        _check(header.signals[index], lead)
    return chosen


def _check(signal: SignalLine, lead: str) -> None:
    if not _PLAIN_NAME.fullmatch(signal.file):
        raise ReadError("unsafe_name", f"the file of lead {lead} is not a plain name in the header's own folder")
    if signal.format not in FORMATS:
        known = ", ".join(str(storage) for storage in FORMATS)
        raise ReadError("unsupported", f"lead {lead} is stored in format {signal.format}; read are {known}")
    if signal.skew:
        raise ReadError("unsupported", f"lead {lead} is skewed against the others")
    if signal.byte_offset > _MAX_OFFSET:
        raise ReadError("truncated", f"the samples of lead {lead} begin at byte {signal.byte_offset}")
    _gain_per_mv(signal, lead)


def _rate_hz(header: Header) -> float:
    return checked_rate_hz(header.rate_hz and header.rate_hz * header.signals[0].per_frame)


def _gain_per_mv(signal: SignalLine, lead: str) -> float:
    return checked_gain_per_mv((signal.gain or 0.0) * units_per_mv(signal.unit, lead), lead)


def _read_file(path: Path, header: Header, file: str) -> dict[int, Counts]:
    """Read one signal file, and verify the checksum of each signal in it.

    Returns
    -------
    dict of int to int16 or int32 [sample]
        Counts by the position of the signal in the header.
    """
    members = [index for index, signal in enumerate(header.signals) if signal.file == file]
    signals = [header.signals[index] for index in members]
    storage, byte_offset, per_frame = signals[0].format, signals[0].byte_offset, signals[0].per_frame
    if any(signal.format != storage or signal.byte_offset not in (0, byte_offset) for signal in signals):
        raise ReadError("unreadable", "the signals of one file differ in format or place")
    frame = per_frame * len(members)
    num_frames = header.num_frames
    if num_frames is not None and num_frames * per_frame * header.num_signals > MAX_VALUES:
        raise ReadError("too_long", f"the header announces {num_frames} samples; at most {MAX_VALUES} in all are read")
    wanted = num_bytes(storage, MAX_VALUES + 1 if num_frames is None else num_frames * frame)
    try:
        content = read_bounded(path.with_name(file), wanted, byte_offset)
    except FileNotFoundError:
        raise ReadError("missing_file", "a file that the header names is not in its folder") from None
    if num_frames is None:
        num_frames = num_values(storage, len(content)) // frame
        if num_frames * frame > MAX_VALUES:
            raise ReadError("too_long", f"more than {MAX_VALUES} samples")
    elif len(content) < wanted:
        raise ReadError("truncated", f"{len(content)} of {wanted} bytes of samples are there")
    if num_frames == 0:
        raise ReadError("truncated", "the signal file holds no samples")
    values = decode(content, storage, num_frames * frame).reshape(num_frames, len(members), per_frame)
    by_signal: Counts = np.ascontiguousarray(values.transpose(1, 0, 2)).reshape(len(members), num_frames * per_frame)
    if storage == 8:
        by_signal = _sum_up(by_signal, signals)
    _verify(by_signal, signals)
    return dict(zip(members, by_signal, strict=True))


def _sum_up(differences: Counts, signals: Sequence[SignalLine]) -> Counts:
    """Turn the first differences of format 8 into counts."""
    initial = np.array([[signal.initial] for signal in signals], dtype=np.int64)
    totals = initial + np.cumsum(differences, axis=1, dtype=np.int64)
    if np.abs(totals).max() >= 2**31:
        raise ReadError("unreadable", "the samples leave the range of 32 bits")
    return totals.astype(np.int32)


def _verify(counts: Counts, signals: Sequence[SignalLine]) -> None:
    sums = counts.sum(axis=1, dtype=np.int64)
    for total, signal in zip(sums, signals, strict=True):
        if signal.checksum is not None and (int(total) - signal.checksum) % 65536:
            raise ReadError("checksum", "the samples do not add up to the checksum of the header")


def _as_int16(counts: Counts, storage: int) -> tuple[Int16, float, int]:
    """Mark absent samples as `INVALID_COUNT`, and bring wide counts into int16; see `to_int16`."""
    invalid = FORMATS[storage][1]
    if counts.dtype == np.int16:
        if invalid is not None and invalid != INVALID_COUNT:
            counts = np.where(counts == invalid, np.int16(INVALID_COUNT), counts)
        return counts.astype(np.int16, copy=False), 1.0, 0
    wide = counts.astype(np.int32)
    if invalid is not None:
        wide[counts == invalid] = np.iinfo(np.int32).min
    return to_int16(wide)


def _float64(values: Sequence[float]) -> Float64:
    return np.array(values, dtype=np.float64)


WFDB = Vendor(name="wfdb", suffixes=(".hea",), sniff=_sniff, read=one_ecg(_read), parts=_parts, by_stem=True)
"""Single-segment records in formats 8, 16, 24, 32, 61, 80, 160 and 212, ``.mat`` of CinC included."""
