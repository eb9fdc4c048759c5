"""A RestingECG export as MUSE 9 writes it: eight stored leads at 5 microvolts a bit, and a median beat beside them."""

import base64
import zlib
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

UV_PER_BIT = 5.0
QUANTISATION_MV = UV_PER_BIT / 2000
STORED = ("patient_id", "age_years", "sex", "acquired")
STORED_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def write(folder: Path, signal: np.ndarray, leads: tuple[str, ...], rate_hz: float, person: dict) -> Path:
    """Write float [lead, sample] millivolts as one file; see `tests/vendor_files/README.md`."""
    counts = np.rint(signal * 1000 / UV_PER_BIT).astype("<i2")
    rows = {lead: row for lead, row in zip(leads, counts, strict=True) if lead in STORED_LEADS}
    medians = {lead: row[:600][::-1] for lead, row in rows.items()}
    last_name, first_name = person["name"].split("^")
    text = document(
        [waveform("Median", medians, rate_hz), waveform("Rhythm", rows, rate_hz)],
        demographics(
            PatientID=person["patient_id"],
            PatientAge=person["age_years"],
            AgeUnits="YEARS",
            DateofBirth=f"{person['birth_date']:%m-%d-%Y}",
            Gender=person["sex"].upper(),
            PatientLastName=last_name,
            PatientFirstName=first_name,
        )
        + tests_made(
            AcquisitionTime=f"{person['acquired']:%H:%M:%S}",
            AcquisitionDate=f"{person['acquired']:%m-%d-%Y}",
            CartNumber=person["serial"],
        )
        + f"<Diagnosis><DiagnosisStatement>{tag('StmtText', person['note'])}</DiagnosisStatement></Diagnosis>",
    )
    path = folder / "ecg.xml"
    path.write_text(text, encoding="iso-8859-1")
    return path


def document(waveforms: list[str], people: str = "") -> str:
    """Put parts together, with the document type that every export names."""
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<!DOCTYPE RestingECG SYSTEM "restecg.dtd">\n<RestingECG>\n'
        f"<MuseInfo><MuseVersion>9.0.10.18530</MuseVersion></MuseInfo>\n{people}\n{''.join(waveforms)}</RestingECG>\n"
    )


def demographics(**fields: object) -> str:
    return f"<PatientDemographics>{tags(fields)}</PatientDemographics>"


def tests_made(**fields: object) -> str:
    return f"<TestDemographics>{tags(fields)}</TestDemographics>"


def waveform(kind: str, rows: dict[str, np.ndarray], rate_hz: float, **changes: object) -> str:
    """Write counts, int16 [sample] by lead; `changes` go into the waveform or into each of its leads."""
    fields = {"WaveformType": kind, "WaveformStartTime": 0, "NumberofLeads": len(rows)}
    fields |= {"SampleType": "CONTINUOUS_SAMPLES", "SampleBase": f"{rate_hz:g}", "SampleExponent": 0}
    fields |= {"HighPassFilter": 16, "LowPassFilter": 150, "ACFilter": 60}
    of_all = {name: value for name, value in changes.items() if name in fields}
    of_leads = {name: value for name, value in changes.items() if name not in fields}
    leads = [lead_data(lead, row, **of_leads) for lead, row in rows.items()]
    return f"<Waveform>{tags(fields | of_all)}{''.join(leads)}</Waveform>\n"


def lead_data(lead: str, row: np.ndarray, **changes: object) -> str:
    content = row.astype("<i2").tobytes()
    fields = {"LeadByteCountTotal": len(content), "LeadTimeOffset": 0, "LeadSampleCountTotal": row.size}
    fields |= {"LeadAmplitudeUnitsPerBit": UV_PER_BIT, "LeadAmplitudeUnits": "MICROVOLTS", "LeadHighLimit": 32767}
    fields |= {"LeadLowLimit": -32768, "LeadID": lead, "LeadOffsetFirstSample": 0, "FirstSampleBaseline": 0}
    fields |= {"LeadSampleSize": 2, "LeadOff": "FALSE", "BaselineSway": "FALSE", "LeadDataCRC32": zlib.crc32(content)}
    # Lines of 51 bytes, between the element's own lines.
    encoded = [base64.b64encode(content[at : at + 51]).decode() for at in range(0, len(content), 51)]
    fields |= {"WaveFormData": "\n".join(["", *encoded, "         "])}
    return f"<LeadData>{tags(fields | changes)}</LeadData>\n"


def tags(fields: dict[str, object]) -> str:
    return "".join(tag(name, value) for name, value in fields.items() if value is not None)


def tag(name: str, value: object) -> str:
    return f"<{name}>{escape(str(value))}</{name}>"
