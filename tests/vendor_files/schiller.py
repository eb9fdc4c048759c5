"""A SchillerEDI export: twelve leads as numbers between commas, 5 microvolts a bit, and an averaged beat in front."""

from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

UV_PER_BIT = 5.0
QUANTISATION_MV = UV_PER_BIT / 2000
STORED = ("patient_id", "age_years", "sex", "acquired")
ROOT = "com.xiriuz.sema.xml.schillerEDI.SchillerEDI"


def write(folder: Path, signal: np.ndarray, leads: tuple[str, ...], rate_hz: float, person: dict) -> Path:
    """Write float [lead, sample] millivolts as one file; see `tests/vendor_files/README.md`."""
    counts = np.rint(signal * 1000 / UV_PER_BIT).astype(int)
    rows = dict(zip(map(str.upper, leads), counts, strict=True))
    averages = {lead: row[:500][::-1] for lead, row in rows.items()}
    last_name, first_name = person["name"].split("^")
    patient = tag("id", person["patient_id"]) + tag("lastname", last_name) + tag("firstname", first_name)
    patient += tag("birthdate", f"{person['birth_date']:%Y%m%d}") + tag("gender", person["sex"].upper())
    exam = started(f"{person['acquired']:%Y%m%d}", f"{person['acquired']:%H%M%S}000")
    exam += f"<aquiringdevice><hardware>{tag('serialnum', person['serial'])}</hardware></aquiringdevice>"
    waves = wavedata("ECG_AVERAGES", averages, rate_hz) + wavedata("ECG_RHYTHMS", rows, rate_hz)
    notes = f"<textdata><type>INTERPRETATION</type><remarks>{escape(person['note'])}</remarks></textdata>"
    path = folder / "ecg.xml"
    path.write_text(document(waves + notes, patient, exam))
    return path


def document(event: str, patient: str = "", exam: str = "") -> str:
    return (
        f'<?xml version="1.0"?>\n<{ROOT}>\n<patdata>{patient}</patdata>\n<examdescript>{exam}</examdescript>\n'
        f"<eventdata>\n<event>\n<offset>0</offset>\n{event}</event>\n</eventdata>\n</{ROOT}>\n"
    )


def started(day: str, time: str) -> str:
    return f"<startdatetime>{tag('date', day)}{tag('time', time)}</startdatetime>"


def wavedata(kind: str, rows: dict[str, np.ndarray], rate_hz: float, **changes: object) -> str:
    """Write counts, int [sample] by lead; `changes` go into the resolution or into each channel, None leaves out."""
    fields = {"exponent": 1, "value": f"{rate_hz:g}", "unitperbit": UV_PER_BIT, "units": "UV"}
    of_all = fields | {name: value for name, value in changes.items() if name in fields}
    of_leads = {name: value for name, value in changes.items() if name not in fields}
    rate = tag("exponent", of_all["exponent"]) + tag("value", of_all["value"])
    scale = tag("unitperbit", of_all["unitperbit"]) + tag("units", of_all["units"])
    channels = "".join(channel(lead, row, **of_leads) for lead, row in rows.items())
    resolution = f"<resolution><samplerate>{rate}</samplerate><yres>{scale}</yres></resolution>"
    return f"<wavedata>\n{tag('type', kind)}{resolution}\n{channels}</wavedata>\n"


def channel(lead: str, row: np.ndarray, **changes: object) -> str:
    # A comma stands behind the last sample too; the measurements in front have names of their own.
    fields = {"name": lead, "data": "".join(f"{count}," for count in row)}
    fields |= {"datastype": "COMMASEPARATE", "samplecount": row.size}
    measured = f"<annotation_lead>{tag('name', 'R_AMPL')}{tag('value', '0.73')}</annotation_lead>"
    return f"<channel>\n{measured}{''.join(tag(*field) for field in (fields | changes).items())}</channel>\n"


def tag(name: str, value: object) -> str:
    return "" if value is None else f"<{name}>{escape(str(value))}</{name}>\n"
