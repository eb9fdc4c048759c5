"""A Philips ECG 1.04 in UTF-16: samples compressed by XLI, the calibration pulse, four spare channels."""

import base64
from pathlib import Path

import numpy as np

QUANTISATION_MV = 0.5 / 200
STORED = ("patient_id", "age_years", "sex", "acquired")
CALIBRATION = np.repeat([0, 200, 0], [50, 100, 50])


def write(folder: Path, signal: np.ndarray, leads: tuple[str, ...], rate_hz: float, person: dict) -> Path:
    """Write float [lead, sample] millivolts as one file; see `tests/vendor_files/README.md`."""
    counts = np.rint(signal * 200).astype(np.int64)
    spare = np.zeros((4, counts.shape[1]), dtype=np.int64)
    counts = np.hstack([np.vstack([counts, spare]), np.tile(CALIBRATION, (16, 1))])
    samples = base64.encodebytes(compress(residuals(counts))).decode()
    path = folder / "ecg.xml"
    path.write_text(
        document(
            samples,
            f'dataencoding="Base64" compression="XLI" numberofleads="12" leadlabels="{" ".join(leads)}" '
            f'durationperchannel="{counts.shape[1] / rate_hz * 1000:.0f}" samplespersecond="{rate_hz:g}" '
            'resolution="5" signaloffset="0" signalsigned="True" bitspersample="16" hipass="0.05" lowpass="150"',
            person,
        ),
        encoding="utf-16",
    )
    return path


def document(samples: str, attributes: str, person: dict) -> str:
    """Write the XML around samples."""
    date, time = person["acquired"].date(), person["acquired"].time()
    return f"""<?xml version="1.0" encoding="utf-16"?>
<restingecgdata status="New" lang="en" xmlns="http://www3.medical.philips.com">
  <documentinfo>
    <documentname>{person["name"]}.xml</documentname>
    <documenttype>PhilipsECG</documenttype>
    <documentversion>1.04</documentversion>
    <comments>{person["note"]}</comments>
  </documentinfo>
  <dataacquisition date="{date}" time="{time}" statflag="False">
    <machine machineid="{person["serial"]}">PageWriter</machine>
    <signalcharacteristics>
      <samplingrate>1000</samplingrate>
      <resolution>2.5</resolution>
      <acquisitiontype>10-WIRE</acquisitiontype>
      <bitspersample>12</bitspersample>
    </signalcharacteristics>
  </dataacquisition>
  <patient>
    <generalpatientdata>
      <patientid>{person["patient_id"]}</patientid>
      <name><lastname>{person["name"]}</lastname></name>
      <age defaultage="50"><dateofbirth>{person["birth_date"]}</dateofbirth></age>
      <sex>{person["sex"].title()}</sex>
    </generalpatientdata>
  </patient>
  <waveforms>
    <parsedwaveforms {attributes}>{samples}</parsedwaveforms>
    <repbeats dataencoding="Base64" samplespersec="1000" resolution="1.0">
      <repbeat leadname="I"><waveform duration="2">AQACAA==</waveform></repbeat>
    </repbeats>
  </waveforms>
</restingecgdata>
"""


def residuals(counts: np.ndarray) -> np.ndarray:
    """What XLI stores: III, aVR, aVL and aVF (rows 2 to 5) as how far they are from what the others say."""
    stored = counts.copy()
    i, ii, iii = counts[:3]
    stored[2] = ii - i - iii
    stored[3] = -np.fix((i + ii) / 2) - counts[3]
    stored[4] = np.fix((i - iii) / 2) - counts[4]
    stored[5] = np.fix((ii + iii) / 2) - counts[5]
    return stored


def compress(channels: np.ndarray) -> bytes:
    """Write integers [channel, sample] as XLI."""
    blocks = []
    for channel in channels.astype(np.int64):
        missed = 2 * channel[1:-1] - channel[:-2] - channel[2:]
        deltas = np.concatenate([channel[:2], missed[1:] + 64, [64]])[: channel.size].astype(">i2").view(np.uint8)
        packed = lzw(np.concatenate([deltas[0::2], deltas[1::2]]).tobytes())
        first = int(missed[:1].sum()).to_bytes(2, "little", signed=True)
        blocks.append(len(packed).to_bytes(4, "little") + b"\1\0" + first + packed)
    return b"".join(blocks)


def lzw(content: bytes) -> bytes:
    """Pack with codes of ten bits, a table that stays once 1023 is the next code, and 1023 at the end."""
    table = {bytes([value]): value for value in range(256)}
    codes, word = [], b""
    for value in content:
        longer = word + bytes([value])
        if longer in table:
            word = longer
            continue
        codes.append(table[word])
        if len(table) < 1023:
            table[longer] = len(table)
        word = bytes([value])
    bits = "".join(f"{code:010b}" for code in [*codes, table[word], 1023])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
