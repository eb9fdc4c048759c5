"""WFDB records (PhysioNet): a text header and one or more files of interleaved samples.

The samples are decoded here and not by the `wfdb` package: that package turns a gain of 0 into 200, leaves checksums
unchecked, and follows file names to other folders and to the network. It is the oracle of this room's tests.
"""

from __future__ import annotations

from pathlib import Path

from hemometric.ecg import Recording
from hemometric.vendors.demographics import age_from_text, sex_from_text
from hemometric.vendors.source import ReadError, Vendor, one_ecg, read_bounded
from hemometric.vendors.traces import Lead, stacked, to_lead
from hemometric.vendors.wfdb_header import MAX_HEADER_BYTES, Header, parse_header
from hemometric.vendors.wfdb_names import beside
from hemometric.vendors.wfdb_segments import claimed_segments, read_segments, segment_paths
from hemometric.vendors.wfdb_signals import read_signals, signal_files


def _sniff(path: Path, head: bytes) -> bool:
    """Whether the file is a WFDB header: one by its suffix, and not another format's by its content."""
    if path.suffix.casefold() != ".hea":
        return False
    return not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"\x89HDF", b"PK\x03\x04"))


def _parts(path: Path) -> tuple[Path, ...]:
    """Headers of the segments, if the record has segments and can, by all headers, be read as one."""
    header = _header(path)
    return () if header is None or header.num_segments is None else claimed_segments(path, header)


def _companions(path: Path) -> tuple[Path, ...]:
    """Signal files; most share the stem of the header, and may have any name. Headers of segments, and their files."""
    header = _header(path)
    if header is None:
        return ()
    named = [beside(path, name) for name in signal_files(header)]
    for segment in segment_paths(path, header):
        own = _header(segment)
        named.append(segment)
        named += [beside(segment, name) for name in signal_files(own)] if own else []
    return tuple(dict.fromkeys(named))


def _header(path: Path) -> Header | None:
    """Parse a header; None where it cannot be."""
    try:
        return parse_header(read_bounded(path, MAX_HEADER_BYTES + 1))
    except (OSError, ReadError):
        return None


def _read(path: Path, key: str) -> Recording:
    header = parse_header(read_bounded(path, MAX_HEADER_BYTES + 1))
    rate_hz, leads = read_segments(path, header) if header.num_segments is not None else _read_ordinary(path, header)
    comments = dict(reversed(header.comments))  # the first of a kind counts
    return Recording(
        key=key,
        leads=tuple(leads),
        rate_hz=rate_hz,
        **stacked(list(leads.values())),
        patient_id=next((comments[name] for name in ("patientid", "subjectid") if comments.get(name)), None),
        age_years=age_from_text(comments.get("age", "")),
        sex=sex_from_text(comments.get("sex", comments.get("gender", ""))),
        source_format="wfdb",
        acquired=header.acquired,
    )


def _read_ordinary(path: Path, header: Header) -> tuple[float, dict[str, Lead]]:
    signals = read_signals(path, header)
    return signals.rate_hz, {lead: to_lead(trace) for lead, trace in signals.traces.items()}


WFDB = Vendor(
    name="wfdb",
    suffixes=(".hea",),
    sniff=_sniff,
    read=one_ecg(_read),
    parts=_parts,
    companions=_companions,
    by_stem=True,
    whole_with=(".dat", ".mat"),
)
"""Records of one or several segments, ``.mat`` of CinC and FLAC included; all formats of the specification."""
