"""An HDF5 file as the ml4h project writes it: one group for the ECG, each value packed by zstd, microvolts in int16."""

from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa

QUANTISATION_MV = 0.0005
STORED = ("patient_id", "age_years", "sex", "acquired")


def pack(group: h5py.Group, name: str, value: str | np.ndarray) -> None:
    """Write one value as ml4h does: an opaque dataset, with what it was in its attributes."""
    content = value.encode() if isinstance(value, str) else value.tobytes()
    packed = pa.Codec("zstd").compress(content, asbytes=True)
    dataset = group.create_dataset(name, data=np.void(packed))
    dataset.attrs["method"] = "zstd"
    dataset.attrs["compression_level"] = 19
    dataset.attrs["len"] = len(value)
    dataset.attrs["uncompressed_length"] = len(content)
    dataset.attrs["compressed_length"] = len(packed)
    dataset.attrs["dtype"] = "str" if isinstance(value, str) else "int16"


def write(folder: Path, signal: np.ndarray, leads: tuple[str, ...], rate_hz: float, person: dict) -> Path:
    """Write float [lead, sample] millivolts as one file; see `tests/vendor_files/README.md`."""
    path = folder / f"{person['patient_id']}.hd5"  # the name of the file is where ml4h keeps the patient
    with h5py.File(path, "w") as file:
        group = file.create_group(f"partners_ecg_rest/{person['acquired'].isoformat()}")
        for lead, row in zip(leads, np.rint(signal * 1000).astype(np.int16), strict=True):
            pack(group, lead, row)
        fields = {
            "waveform_samplebase": f"{rate_hz:g}",
            "waveform_sampleexponent": "0",
            "ecgsamplebase_md": "250",
            "voltageunits": "MICROVOLTS",
            "voltagelength": str(signal.shape[1]),
            "patientage": str(person["age_years"]),
            "gender": person["sex"].upper(),
            "patientlastname": person["name"],
            "patientfirstname": person["name"],
            "dateofbirth": f"{person['birth_date']:%m-%d-%Y}",
            "acquisitiondevice": person["serial"],
            "diagnosis_md": person["note"],
        }
        for name, text in fields.items():
            pack(group, name, text)
    return path
