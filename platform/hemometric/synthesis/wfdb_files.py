"""Twelve leads as a WFDB record of format 16: byte for byte what ``wfdb.wrsamp`` writes, a hundred times faster.

The format is that of header(5) and signal(5) of the WFDB Applications Guide, https://physionet.org/physiotools/wag/.
"""

from __future__ import annotations

from collections.abc import Sequence

from hemometric.ecg import LEADS, Int16


def data_bytes(counts: Int16) -> bytes:
    """Samples of [lead, sample] as interleaved little-endian 16-bit integers."""
    return counts.T.astype("<i2").tobytes()


def header_text(name: str, counts: Int16, *, rate_hz: float, gain_per_mv: float, comments: Sequence[str]) -> str:
    """Header of a record whose one data file is ``<name>.dat``.

    Parameters
    ----------
    counts : int16 [12, sample]
        In the order of `LEADS`; 0 means 0 mV in each of them.
    gain_per_mv : float
        Counts a millivolt, above zero.
    comments : sequence of str
        One line each.
    """
    rate = int(rate_hz) if rate_hz == int(rate_hz) else rate_hz
    lines = [f"{name} {len(LEADS)} {rate} {counts.shape[1]}"]
    for lead, samples in zip(LEADS, counts, strict=True):
        checksum = int(samples.sum(dtype="int64")) % 65536
        # Format, gain(baseline)/unit, resolution and zero of the converter, first sample, checksum, block size, lead.
        lines.append(f"{name}.dat 16 {float(gain_per_mv)}(0)/mV 16 0 {samples[0]} {checksum} 0 {lead}")
    lines += [f"# {comment}" for comment in comments]
    return "\n".join(lines) + "\n"
