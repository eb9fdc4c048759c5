"""An EDF+ file of records of one second: twelve leads of 400 counts a millivolt, respiration, and annotations."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

QUANTISATION_MV = 0.5 / 400
STORED = ("patient_id", "age_years", "sex", "acquired")


class Signal(NamedTuple):
    """One signal: its header, and int16 [record, sample]; by default 400 counts a millivolt."""

    label: str
    samples: np.ndarray
    unit: str = "mV"
    physical: tuple[str, str] = ("-50", "50")
    digital: tuple[str, str] = ("-20000", "20000")


def file(
    signals: Sequence[Signal],
    patient: str = "X X X X",
    recording: str = "Startdate X X X X",
    start: str = "01.01.8500.00.00",
    kind: str = "EDF+C",
    record_s: str = "1",
    num_records: int | None = None,
    version: bytes = b"0       ",
) -> bytes:
    """Encode a file; samples of 24 bits where the version says BDF."""

    def column(width: int, texts: Sequence[str]) -> bytes:
        return b"".join(text.encode("latin-1").ljust(width)[:width] for text in texts)

    records = len(signals[0].samples) if num_records is None else num_records
    header = version + column(80, [patient, recording]) + column(8, [start[:8], start[8:]])
    header += column(8, [str(256 * (len(signals) + 1))]) + column(44, [kind])
    header += column(8, [str(records), record_s]) + column(4, [str(len(signals))])
    header += column(16, [one.label for one in signals]) + column(80, ["AgAgCl"] * len(signals))
    header += column(8, [one.unit for one in signals])
    for bounds in ([one.physical for one in signals], [one.digital for one in signals]):
        header += column(8, [low for low, _ in bounds]) + column(8, [high for _, high in bounds])
    header += column(80, ["HP:0.05Hz"] * len(signals))
    header += column(8, [str(one.samples.shape[1]) for one in signals]) + column(32, [""] * len(signals))
    samples = np.concatenate([one.samples for one in signals], axis=1)
    if version.startswith(b"\xff"):
        return header + samples.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
    return header + samples.astype("<i2").tobytes()


def annotations(texts: Sequence[str], num_samples: int = 60) -> Signal:
    """Encode the signal that keeps the time of each record, and holds a note."""
    tals = [f"+{second}\x14\x14\0+{second}\x14{text}\x14\0".encode() for second, text in enumerate(texts)]
    samples = np.frombuffer(b"".join(tal.ljust(2 * num_samples, b"\0") for tal in tals), "<i2")
    return Signal("EDF Annotations", samples.reshape(len(texts), -1), "", ("-1", "1"), ("-32768", "32767"))


def write(folder: Path, signal: np.ndarray, leads: tuple[str, ...], rate_hz: float, person: dict) -> Path:
    """Write float [lead, sample] millivolts as one file; see `tests/vendor_files/README.md`."""
    counts = np.rint(signal * 400).astype(np.int16)
    num_records = counts.shape[1] // int(rate_hz)
    signals = [Signal(f"ECG {lead}", row.reshape(num_records, -1)) for lead, row in zip(leads, counts, strict=True)]
    signals.insert(5, Signal("Resp chest", np.zeros((num_records, 25), np.int16), "a.u."))
    signals.append(annotations([person["note"]] * num_records))
    name = person["name"].replace(" ", "_")
    born = f"{person['birth_date']:%d-%b-%Y}".upper()
    started = f"{person['acquired']:%d-%b-%Y}".upper()
    path = folder / "ecg.edf"
    path.write_bytes(
        file(
            signals,
            patient=f"{person['patient_id']} {person['sex'][0].upper()} {born} {name}",
            recording=f"Startdate {started} X X {person['serial']}",
            start=f"{person['acquired']:%d.%m.%y%H.%M.%S}",
        )
    )
    return path
