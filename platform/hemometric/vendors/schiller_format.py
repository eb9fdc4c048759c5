"""Schiller SEMA: the SchillerEDI XML of its electrocardiographs, one ECG a file, samples as whole numbers in text.

There is no public specification; what is read is what a real file of an AT-10 plus holds. The exponent of its rate is 1
beside a value of 500, and its beats agree with 500 Hz: another exponent is refused, since nothing says what it would
mean. The filters that it names were applied by the device, as in every electrocardiograph.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from hemometric.ecg import Recording, canonical_lead
from hemometric.vendors.chosen import chosen_leads
from hemometric.vendors.demographics import age_at, sex_from_text, time_from_text
from hemometric.vendors.scale import Int32, checked_gain_per_mv, checked_rate_hz, units_per_mv
from hemometric.vendors.source import MAX_VALUES, ReadError, Vendor, one_ecg
from hemometric.vendors.traces import Lead, Trace, stacked, to_lead
from hemometric.vendors.xml_file import number_of, read_xml, root_name, text_of

_ROOT = "SchillerEDI"  # behind the name of a Java package
_RHYTHM = "ECG_RHYTHMS"
_UNSET = datetime(1970, 1, 1)
# Possessive, so that a text of any length is gone through once; nine digits fit into 32 bits.
_SAMPLES = re.compile(r"(?:\s*+[+-]?+\d{1,9}+\s*+,)*+\s*+(?:[+-]?+\d{1,9}+\s*+)?+", re.ASCII)


def _is_root(name: str | None) -> bool:
    return name is not None and name.rpartition(".")[2] == _ROOT


def _sniff(_: Path, head: bytes) -> bool:
    return _is_root(root_name(head))


def _read(path: Path, key: str) -> Recording:
    root = read_xml(path)
    rhythm = _rhythm(root)
    rate_hz = _rate_hz(rhythm)
    leads = {lead: _lead(rhythm, channel, lead) for lead, channel in _channels(rhythm).items()}
    if len({lead.counts.size for lead in leads.values()}) > 1:
        raise ReadError("truncated", "the leads hold different numbers of samples")
    acquired = _acquired(root)
    born = time_from_text(text_of(root, "patdata/birthdate"), "%Y%m%d")
    return Recording(
        key=key,
        leads=tuple(leads),
        rate_hz=rate_hz,
        **stacked(list(leads.values())),
        patient_id=text_of(root, "patdata/id") or None,
        age_years=age_at(born, acquired),
        sex=sex_from_text(text_of(root, "patdata/gender")),
        source_format="schiller",
        acquired=acquired,
    )


def _rhythm(root: Element) -> Element:
    """Find the ten seconds; the averaged beat, which lies beside them, is left out."""
    if not _is_root(root.tag):
        raise ReadError("unreadable", "the XML is not that of a Schiller ECG")
    rhythms = [wave for wave in root.findall("eventdata/event/wavedata") if text_of(wave, "type") == _RHYTHM]
    if not rhythms:
        raise ReadError("no_waveform", f"the file holds no waveform of the type {_RHYTHM}")
    if len(rhythms) > 1:
        raise ReadError("unsupported", f"the file holds {len(rhythms)} waveforms of the type {_RHYTHM}")
    return rhythms[0]


def _rate_hz(rhythm: Element) -> float:
    if number_of(rhythm, "resolution/samplerate/exponent") not in (1, None):
        raise ReadError("unsupported", "the sampling rate has an exponent other than 1")
    return checked_rate_hz(number_of(rhythm, "resolution/samplerate/value"))


def _channels(rhythm: Element) -> dict[str, Element]:
    channels = rhythm.findall("channel")
    leads = chosen_leads([canonical_lead(text_of(channel, "name")) for channel in channels])
    chosen = {lead: channels[place] for place, lead in leads.items()}
    if sum((channel.findtext("data") or "").count(",") for channel in chosen.values()) > MAX_VALUES:
        raise ReadError("too_long", f"at most {MAX_VALUES} samples in all are read")
    return chosen


def _lead(rhythm: Element, channel: Element, lead: str) -> Lead:
    per_mv = units_per_mv(text_of(rhythm, "resolution/yres/units"), lead)
    units_per_count = number_of(rhythm, "resolution/yres/unitperbit")
    gain_per_mv = checked_gain_per_mv(per_mv / units_per_count if units_per_count else None, lead)
    return to_lead(Trace(_counts(channel, lead), gain_per_mv, 0.0))


def _counts(channel: Element, lead: str) -> Int32:
    """Read the samples of one lead, int32 [sample], and verify their number."""
    if text_of(channel, "datastype") != "COMMASEPARATE":
        raise ReadError("unsupported", f"the samples of lead {lead} are not stored as numbers between commas")
    text = channel.findtext("data") or ""
    if not _SAMPLES.fullmatch(text):
        raise ReadError("unreadable", f"the samples of lead {lead} are not whole numbers between commas")
    counts = np.fromstring(text.rstrip(", \t\r\n"), dtype=np.int32, sep=",") if text.strip() else np.empty(0, np.int32)
    announced = number_of(channel, "samplecount")
    if not counts.size or (announced is not None and announced > counts.size):
        raise ReadError("truncated", f"lead {lead} has fewer samples than it announces, or none")
    if announced is not None and announced < counts.size:
        raise ReadError("unreadable", f"lead {lead} has more samples than it announces")
    return counts


def _acquired(root: Element) -> datetime | None:
    """Read the time to the second; the zero of all clocks stands for one that was never set."""
    day, time = (text_of(root, f"examdescript/startdatetime/{name}") for name in ("date", "time"))
    acquired = time_from_text(f"{day} {time[:6]}", "%Y%m%d %H%M%S")
    return acquired if acquired != _UNSET else None


SCHILLER = Vendor(name="schiller", suffixes=(".xml",), sniff=_sniff, read=one_ecg(_read))
"""SchillerEDI exports with one rhythm recording of samples between commas."""
