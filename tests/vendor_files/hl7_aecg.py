"""An HL7 annotated ECG: the rhythm, and a representative beat derived from it."""

from pathlib import Path

import numpy as np

QUANTISATION_MV = 0.5 / 200
STORED = ("patient_id", "age_years", "sex", "acquired")


def write(folder: Path, signal: np.ndarray, leads: tuple[str, ...], rate_hz: float, person: dict) -> Path:
    """Write float [lead, sample] millivolts as one file; see `tests/vendor_files/README.md`."""
    counts = np.rint(signal * 200).astype(int)
    rhythm = [sequence(lead, " ".join(map(str, row))) for lead, row in zip(leads, counts, strict=True)]
    beat = [sequence(lead, " ".join(map(str, row[:300] // 2))) for lead, row in zip(leads, counts, strict=True)]
    time = increment("TIME_ABSOLUTE", "GLIST_TS", f"{person['acquired']:%Y%m%d%H%M%S}.000", f"{1 / rate_hz:g}")
    path = folder / "ecg.xml"
    path.write_text(document([series([time, *rhythm], beat=[increment(), *beat])], person), encoding="utf-8")
    return path


def document(several: list[str], person: dict) -> str:
    """Write the XML around series."""
    components = "\n".join(f"  <component>{one}</component>" for one in several)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- {person["note"]} -->
<AnnotatedECG xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" type="Observation">
  <id root="61d1a24f-b47e-41aa-ae95-f8ac302f4eeb"/>
  <code code="93000" codeSystem="2.16.840.1.113883.6.12"/>
  <text>{person["note"]}</text>
  <effectiveTime><center value="{person["acquired"]:%Y%m%d}"/></effectiveTime>
  <componentOf><timepointEvent><componentOf><subjectAssignment>
    <subject><trialSubject>
      <id root="2.16.840.1.113883.3.400"/>
      <id root="2.16.840.1.113883.3.400" extension="{person["patient_id"]}"/>
      <subjectDemographicPerson>
        <name>{person["name"]}</name>
        <administrativeGenderCode code="{person["sex"][0].upper()}" codeSystem="2.16.840.1.113883.5.1"/>
        <birthTime value="{person["birth_date"]:%Y%m%d}"/>
      </subjectDemographicPerson>
    </trialSubject></subject>
  </subjectAssignment></componentOf></timepointEvent></componentOf>
  <author><seriesAuthor><id extension="{person["serial"]}"/></seriesAuthor></author>
{components}
</AnnotatedECG>
"""


def series(sequences: list[str], *more: list[str], code: str = "RHYTHM", beat: list[str] | None = None) -> str:
    """Write a series of one or more sets of sequences, each recorded at once, and the beat that is derived of it."""
    sets = "".join(f"<component><sequenceSet>{''.join(one)}</sequenceSet></component>" for one in (sequences, *more))
    of_beat = ""
    if beat:
        of_beat = series(beat, code="REPRESENTATIVE_BEAT").replace("series>", "derivedSeries>")
        of_beat = f"<derivation>{of_beat}</derivation>"
    return f'<series><code code="{code}" codeSystem="2.16.840.1.113883.5.4"/>{sets}{of_beat}</series>'


def increment(
    code: str = "TIME_RELATIVE", kind: str = "GLIST_PQ", head: str = "0", step: str = "0.002", unit: str = "s"
) -> str:
    """Write the sequence that says when the samples of the others were taken."""
    of_head = f'<head value="{head}"' + (f' unit="{unit}"/>' if kind == "GLIST_PQ" else "/>")
    value = f'<value xsi:type="{kind}">{of_head}<increment value="{step}" unit="{unit}"/></value>'
    return f'<component><sequence><code code="{code}"/>{value}</sequence></component>'


def sequence(
    lead: str, digits: str, scale: str = "5", unit: str = "uV", origin: str = "0", kind: str = "SLIST_PQ"
) -> str:
    """Write the samples of a lead."""
    value = (
        f'<value xsi:type="{kind}"><origin value="{origin}" unit="{unit}"/><scale value="{scale}" unit="{unit}"/>'
        f"<digits> {digits}\n</digits></value>"
    )
    code = f'<code code="MDC_ECG_LEAD_{lead.upper()}" codeSystem="2.16.840.1.113883.6.24"/>'
    return f"<component><sequence>{code}{value}</sequence></component>\n"
