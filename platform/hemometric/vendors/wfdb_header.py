"""The text of a WFDB header: read strictly, so that nothing is ever assumed about gain, rate or file names."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hemometric.vendors.source import ReadError

MAX_HEADER_BYTES = 1 << 20
MAX_SIGNALS = 1024
NULL = "~"
"""The name of a segment, and of a signal file, that is not there."""

_NUMBER = r"(?:\d{1,15}\.?\d{0,15}|\.\d{1,15})(?:[eE][-+]?\d{1,3})?"
_RECORD = re.compile(
    rf"""(?P<name>[-\w]+)(?:/(?P<num_segments>\d{{1,9}}))?
    [ \t]+(?P<num_signals>\d{{1,9}})
    (?:[ \t]+(?P<rate>{_NUMBER})(?:/-?{_NUMBER}(?:\(-?{_NUMBER}\))?)?
      (?:[ \t]+(?P<num_samples>\d{{1,18}})
        (?:[ \t]+(?P<start>\S+(?:[ \t]+\S+)?))?)?)?[ \t]*""",
    re.VERBOSE | re.ASCII,
)
_SIGNAL = re.compile(
    rf"""(?P<file>\S+)
    [ \t]+(?P<format>\d{{1,4}})(?:x(?P<per_frame>\d{{1,6}}))?(?::(?P<skew>\d{{1,9}}))?(?:\+(?P<offset>\d{{1,12}}))?
    (?:[ \t]+(?P<gain>[-+]?{_NUMBER})(?:\((?P<baseline>[-+]?\d{{1,10}})\))?(?:/(?P<unit>\S+))?
      (?:[ \t]+(?P<resolution>\d{{1,4}})
        (?:[ \t]+(?P<zero>[-+]?\d{{1,10}})
          (?:[ \t]+(?P<initial>[-+]?\d{{1,10}})
            (?:[ \t]+(?P<checksum>[-+]?\d{{1,10}})
              (?:[ \t]+(?P<block>\d{{1,9}})
                (?:[ \t]+(?P<description>.*))?)?)?)?)?)?)?[ \t]*""",
    re.VERBOSE | re.ASCII,
)
_SEGMENT = re.compile(r"(?P<name>[-\w]+|~)[ \t]+(?P<num_frames>\d{1,18})", re.ASCII)
_START = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(\.\d{1,9})?[ \t]+(\d{1,2})/(\d{1,2})/(\d{4})", re.ASCII)
_NAMED_AS_FILE = re.compile(r"[-\w]+\.[.\w]+[ \t]+\d+[ \t].*", re.ASCII)
_BRACKETED = re.compile(r"<([^<>]*)>:?([^<]*)")


@dataclass(frozen=True)
class SignalLine:
    """One signal as the header describes it; None where the header is silent.

    Attributes
    ----------
    gain : float or None
        Counts per `unit`; None and 0 both mean "not calibrated".
    baseline : int
        The count that means 0; the ADC's zero where the header names no baseline.
    checksum : int or None
        Sum of the counts modulo 65536.
    """

    file: str
    format: int
    per_frame: int
    skew: int
    byte_offset: int
    gain: float | None
    baseline: int
    unit: str
    initial: int
    checksum: int | None
    description: str


@dataclass(frozen=True)
class Segment:
    """One line of a multi-segment record: the record that is a part of it, `NULL` where nothing was recorded."""

    name: str
    num_frames: int


@dataclass(frozen=True)
class Header:
    """One WFDB header.

    Attributes
    ----------
    rate_hz : float or None
        Frames per second; None where the header is silent.
    num_frames : int or None
        None where the header is silent or says 0, which means "count the bytes".
    num_segments : int or None
        How many segments are announced; None for an ordinary record.
    segments : tuple of Segment
        The segments, in time. Lines that are none are left out, so that even a damaged record hides its parts.
    acquired : datetime or None
        When sample 0 was recorded, where the record line says it as the format wants it: ``10:44:18 04/05/2004``.
        Challenge headers have ``12-May-2020 12:33:59`` there, when the file was made, which is left out.
    comments : tuple of (str, str)
        ``# key: value`` and ``# <key>: value <key>: value`` lines, the keys reduced to lower-case letters.
    """

    num_signals: int
    rate_hz: float | None
    num_frames: int | None
    signals: tuple[SignalLine, ...] = ()
    num_segments: int | None = None
    segments: tuple[Segment, ...] = ()
    acquired: datetime | None = None
    comments: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def parse_header(content: bytes) -> Header:
    """Parse a whole header.

    Raises
    ------
    ReadError
        With reason ``truncated`` (no record line, or fewer lines than it announces), ``unreadable`` (not the
        grammar of WFDB headers, or text that is no text), ``too_long`` (more than a header can need),
        ``record_name`` (the record line names a file).

    References
    ----------
    WFDB Applications Guide, header(5).
    """
    if len(content) > MAX_HEADER_BYTES:
        raise ReadError("too_long", f"the header is longer than {MAX_HEADER_BYTES} bytes")
    # What matters is ASCII, save for the Greek letter of microvolts, which older devices write in Latin-1.
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if "\0" in text:
        raise ReadError("unreadable", "the header holds zero bytes: it is not text")
    lines = [line.strip(" \t\f\v") for line in re.split(r"\r\n|\r|\n", text)]
    body = [line for line in lines if line and not line.startswith("#")]
    comments = tuple(pair for line in lines if line.startswith("#") for pair in _comments(line))
    if not body:
        raise ReadError("truncated", "the header has no record line")
    record = _RECORD.fullmatch(body[0])
    if record is None:
        raise _no_record_line(body[0])
    num_signals = int(record["num_signals"])
    rate_hz = float(record["rate"]) if record["rate"] else None
    num_frames = int(record["num_samples"] or 0) or None
    acquired = _acquired(record["start"] or "")
    if record["num_segments"] is not None:
        matches = [_SEGMENT.fullmatch(line) for line in body[1:]]
        return Header(
            num_signals,
            rate_hz,
            num_frames,
            num_segments=int(record["num_segments"]),
            segments=tuple(Segment(match["name"], int(match["num_frames"])) for match in matches if match),
            acquired=acquired,
            comments=comments,
        )
    if num_signals > MAX_SIGNALS:
        raise ReadError("too_long", f"the header announces {num_signals} signals; at most {MAX_SIGNALS} are read")
    if len(body) - 1 < num_signals:
        raise ReadError("truncated", f"the header announces {num_signals} signals and describes {len(body) - 1}")
    if len(body) - 1 > num_signals:
        raise ReadError("unreadable", f"the header announces {num_signals} signals and describes {len(body) - 1}")
    signals = tuple(_signal(line, number) for number, line in enumerate(body[1:], start=1))
    if len(signals) > 1 and not signals[-1].description and all(signal.description for signal in signals[:-1]):
        raise ReadError("truncated", "the header ends within the line of its last signal")
    return Header(num_signals, rate_hz, num_frames, signals=signals, acquired=acquired, comments=comments)


def _no_record_line(line: str) -> ReadError:
    if _NAMED_AS_FILE.fullmatch(line):
        return ReadError(
            "record_name",
            "the record line names a file instead of a record, as in the first release of the CinC 2020 challenge, "
            "whose gains are wrong: take the corrected headers",
        )
    return ReadError("unreadable", "the first line is not a WFDB record line")


def _acquired(start: str) -> datetime | None:
    match = _START.fullmatch(start)
    if match is None:
        return None
    hour, minute, second, fraction, day, month, year = match.groups()
    try:
        whole = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second))
        return whole + timedelta(seconds=float(fraction or 0))
    except (ValueError, OverflowError):
        return None


def _signal(line: str, number: int) -> SignalLine:
    match = _SIGNAL.fullmatch(line)
    if match is None:
        raise ReadError("unreadable", f"the line of signal {number} is not a WFDB signal line")
    gain = float(match["gain"]) if match["gain"] is not None else None
    if gain is not None and not math.isfinite(gain):
        raise ReadError("unreadable", f"the gain of signal {number} is not finite")
    per_frame = int(match["per_frame"] or 1)
    if per_frame == 0:
        raise ReadError("unreadable", f"signal {number} has no samples in a frame")
    return SignalLine(
        file=match["file"],
        format=int(match["format"]),
        per_frame=per_frame,
        skew=int(match["skew"] or 0),
        byte_offset=int(match["offset"] or 0),
        gain=gain,
        baseline=int(match["baseline"] or match["zero"] or 0),
        unit=match["unit"] or "mV",
        initial=int(match["initial"] or 0),
        checksum=int(match["checksum"]) if match["checksum"] is not None else None,
        description=(match["description"] or "").strip(),
    )


def _comments(line: str) -> list[tuple[str, str]]:
    text = line.lstrip("# \t")
    if text.startswith("<"):
        pairs = [(match[1], match[2]) for match in _BRACKETED.finditer(text)]
    else:
        key, colon, value = text.partition(":")
        pairs = [(key, value)] if colon else []
    plain = (("".join(filter(str.isalpha, key.casefold())), value.strip()) for key, value in pairs)
    return [(key, value) for key, value in plain if key]
