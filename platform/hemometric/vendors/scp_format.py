"""SCP-ECG (EN 1064, ANSI/AAMI EC71), versions 1 and 2: sections with checksums, samples as Huffman codes.

Where a reference beat was subtracted from each beat, it is added again. Bimodal compression, which leaves out three of
four samples between the QRS complexes, is refused: what it left out cannot be known again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hemometric.ecg import Recording
from hemometric.vendors.chosen import chosen_leads
from hemometric.vendors.scale import ABSENT, checked_gain_per_mv, checked_rate_hz, to_int16
from hemometric.vendors.scp_huffman import Int64, Table, decode, parse_tables
from hemometric.vendors.scp_sections import (
    HEADER,
    MAGIC,
    RECORD_BYTES,
    Lead,
    Person,
    Signals,
    parse_beats,
    parse_leads,
    parse_person,
    parse_signals,
    split,
)
from hemometric.vendors.source import MAX_VALUES, ReadError, Vendor, one_ecg, read_whole

_NANOVOLTS_PER_MV = 1_000_000


def _sniff(_: Path, head: bytes) -> bool:
    if len(head) < RECORD_BYTES + HEADER.size + 10:
        return False
    _crc, number, length, _version, _protocol, reserved = HEADER.unpack_from(head, RECORD_BYTES)
    # Without the magic of version 2, the first pointer must be that of section 0 to itself, at byte 7 counted from 1.
    itself = bytes(2) + length.to_bytes(4, "little") + (RECORD_BYTES + 1).to_bytes(4, "little")
    return number == 0 and (reserved == MAGIC or head.startswith(itself, RECORD_BYTES + HEADER.size))


def _read(path: Path, key: str) -> Recording:
    sections = split(read_whole(path))
    if 3 not in sections or 6 not in sections:
        raise ReadError("no_waveform", "the record has no section of leads or none of rhythm")
    leads, is_residual = parse_leads(sections[3])
    chosen = _chosen(leads)
    rhythm = parse_signals(sections[6], len(leads))
    if rhythm.bimodal:
        raise ReadError("unsupported", "bimodal compression has left out samples")
    rate_hz = checked_rate_hz(1e6 / rhythm.interval_us if rhythm.interval_us else None)
    for lead in chosen:
        checked_gain_per_mv(_per_mv(rhythm.nanovolts), lead)
    tables = parse_tables(sections[2]) if 2 in sections else ()

    start = min(leads[index].start for index in chosen.values())
    num_samples = max(leads[index].end for index in chosen.values()) - start
    if num_samples * len(chosen) > MAX_VALUES:
        raise ReadError("too_long", f"it announces {num_samples} samples; at most {MAX_VALUES} in all are read")
    samples = [_samples(rhythm, index, tables, leads[index].end - leads[index].start) for index in chosen.values()]
    nanovolts = rhythm.nanovolts
    if is_residual:
        nanovolts = _add_reference_beat(sections, tables, rhythm, leads, chosen, samples)
    gain_per_mv = checked_gain_per_mv(_per_mv(nanovolts), next(iter(chosen)))

    rows, steps, centres = [], [], []
    for index, values in zip(chosen.values(), samples, strict=True):
        # Leads that were recorded one after the other keep their places in the record.
        wide = np.full(num_samples, ABSENT, dtype=np.int32)
        wide[leads[index].start - start : leads[index].end - start] = values
        row, step, centre = to_int16(wide)
        rows.append(row)
        steps.append(step)
        centres.append(centre)
    person = parse_person(sections[1]) if 1 in sections else Person()
    return Recording(
        key=key,
        leads=tuple(chosen),
        rate_hz=rate_hz,
        counts=np.stack(rows),
        gain_per_mv=gain_per_mv / np.array(steps, dtype=np.float64),
        offset_counts=-np.array(centres, dtype=np.float64) / np.array(steps, dtype=np.float64),
        patient_id=person.patient_id,
        age_years=person.age_years,
        sex=person.sex,
        source_format="scp-ecg",
        quantisation_error_mv=max(0.5 * step / gain_per_mv if step > 1 else 0.0 for step in steps),
        acquired=person.acquired,
    )


def _chosen(leads: Sequence[Lead]) -> dict[str, int]:
    """Find the standard leads, from name to position."""
    return {lead: place for place, lead in chosen_leads([lead.name for lead in leads]).items()}


def _samples(signals: Signals, index: int, tables: Sequence[Table], num_samples: int) -> Int64:
    """Decode a lead: codes into differences, differences into counts of 16 bits."""
    stream = signals.streams[index]
    if tables:
        values = decode(stream, tables, num_samples)
    elif len(stream) < 2 * num_samples:
        raise ReadError("truncated", "the samples of a lead end before their announced number")
    else:
        values = np.frombuffer(stream, "<i2", num_samples).astype(np.int64)
    if signals.order == 2 and num_samples > 1:
        values[1] -= values[
            0
        ]  # the first two are stored as they are; now it is a first difference, as the others become
        values[1:] = np.cumsum(values[1:])
    if signals.order > 0:
        values = np.cumsum(values)
    if values.min(initial=0) < -(2**15) or values.max(initial=0) >= 2**15:
        raise ReadError("unreadable", "the samples leave the range of 16 bits")
    return values


def _add_reference_beat(
    sections: Mapping[int, bytes],
    tables: Sequence[Table],
    rhythm: Signals,
    leads: Sequence[Lead],
    chosen: Mapping[str, int],
    samples: list[Int64],
) -> int:
    """Add the reference beat, in place, wherever it was subtracted; returns the nanovolts that a count has now."""
    beats = parse_beats(sections.get(4, bytes(6)))
    if not beats.length_ms or 5 not in sections:
        raise ReadError("unreadable", "a reference beat was subtracted, and is not in the record")
    reference = parse_signals(sections[5], len(leads))
    if reference.interval_us != rhythm.interval_us:
        raise ReadError("unsupported", "the reference beat has another sampling rate than the rhythm")
    if not reference.nanovolts:
        raise ReadError("gain_zero", "the reference beat has a gain of 0: its millivolts are unknown")
    num_samples = 1000 * beats.length_ms // reference.interval_us
    nanovolts = math.gcd(rhythm.nanovolts, reference.nanovolts)
    zones = beats.zones
    num_covered = sum(end - start for start, end, _ in zones)
    for values, index in zip(samples, chosen.values(), strict=True):
        lead = leads[index]
        if num_covered > lead.end - lead.start:
            raise ReadError("unreadable", "the zones of the reference beat overlap")
        beat = _samples(reference, index, tables, num_samples) * (reference.nanovolts // nanovolts)
        values *= rhythm.nanovolts // nanovolts
        for start, end, at in zones:
            if not (lead.start <= start < end <= lead.end and at >= 0 and at + end - start <= num_samples):
                raise ReadError("unreadable", "a zone of the reference beat leaves the beat or the record")
            values[start - lead.start : end - lead.start] += beat[at : at + end - start]
        if np.abs(values).max() >= 2**31:
            raise ReadError("unreadable", "the samples and those of the reference beat have no scale in common")
    return nanovolts


def _per_mv(nanovolts: int) -> float:
    return _NANOVOLTS_PER_MV / nanovolts if nanovolts else 0.0


SCP_ECG = Vendor(name="scp-ecg", suffixes=(".scp",), sniff=_sniff, read=one_ecg(_read))
"""Default and own Huffman tables, differences and reference beats; bimodal compression is refused."""
