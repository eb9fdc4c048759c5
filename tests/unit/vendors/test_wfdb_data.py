"""Every WFDB record of HEMOMETRIC_DATA: read as the `wfdb` package reads it, or refused for a reason written here."""

import os
from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import wfdb

from hemometric.ecg import LEADS, Recording, Rejected
from hemometric.vendors import Source, find, read
from hemometric.vendors.wfdb_format import WFDB
from hemometric.waveform import Assessed, QualityConfig, assess, canonical_lead

pytestmark = pytest.mark.data

NUM_RECORDS = {
    "ptbxl": 618,
    "ptbxl-extra": 30,
    "code15-chagas": 153,
    "cinc2021": 68,
    "ecgiddb": 227,
    "awkward": 17,
}
REFUSED = {
    "awkward/cinc2020-early-headers/E00001": "record_name",
    "awkward/cinc2020-early-headers/E00002": "record_name",
    "awkward/wfdb-flac-mixed-rates/flac_3_constant": "no_standard_lead",
    "awkward/wfdb-flac-mixed-rates/flacformats": "no_standard_lead",
    "awkward/wfdb-multisegment/s25047/s25047-2704-05-04-10-44n": "no_standard_lead",  # numbers, not waves
    # The first 4 or 8 kB of these files are bytes of 255: the copy is damaged, and the package does not notice.
    "ecgiddb/Person_13/rec_2": "checksum",
    "ecgiddb/Person_15/rec_1": "checksum",
    "ecgiddb/Person_24/rec_5": "checksum",
    "ecgiddb/Person_25/rec_4": "checksum",
    "ecgiddb/Person_26/rec_3": "checksum",
    "ecgiddb/Person_27/rec_3": "checksum",
    "ecgiddb/Person_28/rec_4": "checksum",
    "ecgiddb/Person_32/rec_6": "checksum",
    "ecgiddb/Person_44/rec_1": "checksum",
}
LEADS_OF = {
    "awkward/mitdb/100": ["V5"],  # the other one is MLII
    "awkward/wfdb-flac-mixed-rates/mixedsignals": ["II", "III"],
    "awkward/wfdb-multisegment/041s/041s": ["III", "I"],
    "awkward/wfdb-multisegment/s25047/s25047-2704-05-04-10-44": ["II"],
}
UNITS_PER_MV = {"mv": 1.0, "uv": 1e3}


@pytest.fixture
def data() -> Path:
    folder = os.environ.get("HEMOMETRIC_DATA")
    if not folder:
        pytest.fail("HEMOMETRIC_DATA is not set: give the folder that holds ptbxl, cinc2021, ecgiddb and awkward")
    return Path(folder)


def assert_equals_wfdb(recording: Recording, header: Path) -> None:
    """Compare rate, leads and each sample with what the package gives."""
    oracle = wfdb.rdrecord(str(header.with_suffix("")), smooth_frames=False)
    columns = {lead: column for column, name in enumerate(oracle.sig_name) if (lead := canonical_lead(name))}
    assert set(columns) == set(recording.leads)
    for lead, row in zip(recording.leads, recording.signal, strict=True):
        column = columns[lead]
        assert recording.rate_hz == oracle.fs * oracle.samps_per_frame[column]
        # A record whose segments have several units has none in the package; there all are mV.
        unit = "mv" if oracle.units is None else oracle.units[column].lower()
        expected = oracle.e_p_signal[column] / UNITS_PER_MV[unit]
        tolerance_mv = 1.001 * recording.quantisation_error_mv + 1e-6
        np.testing.assert_allclose(row, expected, atol=tolerance_mv, rtol=3e-7, equal_nan=True, err_msg=lead)


def usual_leads(source: Source) -> list[str]:
    return LEADS_OF.get(source.key, ["I"] if source.key.startswith("ecgiddb") else list(LEADS))


@pytest.mark.parametrize("folder", NUM_RECORDS)
def test_each_record_is_as_wfdb_reads_it_or_refused_as_written(data: Path, folder: str) -> None:
    refused = {}
    sources = list(find([data / folder], (WFDB,)))
    assert len(sources) == NUM_RECORDS[folder]
    for source in sources:
        result = read(source)
        if isinstance(result, Rejected):
            refused[source.key] = result.reason
            continue
        assert sorted(result.leads) == sorted(usual_leads(source)), source.key
        assert_equals_wfdb(result, source.path)
        is_joined = "s25047" in source.key  # ten gains without a common multiple that fits
        assert (result.quantisation_error_mv > 0) == is_joined
        assert result.quantisation_error_mv < 1e-4
    assert refused == {key: reason for key, reason in REFUSED.items() if key.startswith(f"{folder}/")}


@pytest.mark.parametrize(
    ("folder", "known"),
    [
        ("ptbxl", {}),
        ("ptbxl-extra", {"age_years": 28, "sex": 30, "acquired": 30}),
        ("code15-chagas", {"age_years": 153, "sex": 153, "patient_id": 153}),
        ("cinc2021", {"age_years": 65, "sex": 68}),
        ("ecgiddb", {"age_years": 218, "sex": 218}),
    ],
)
def test_what_headers_say_of_persons(data: Path, folder: str, known: dict[str, int]) -> None:
    found: Counter[str] = Counter()
    for source in find([data / folder], (WFDB,)):
        result = read(source)
        for field in ("age_years", "sex", "patient_id", "acquired"):
            found[field] += getattr(result, field, None) is not None
    assert +found == Counter(known)


def test_segments(data: Path) -> None:
    folder = data / "awkward" / "wfdb-multisegment"
    fixed, variable, _ = (read(source) for source in find([folder], (WFDB,)))
    assert isinstance(fixed, Recording)
    assert isinstance(variable, Recording)
    assert fixed.acquired == datetime(1994, 10, 26, 8, 26, 4)
    assert fixed.num_samples == 4 * 2000
    assert variable.acquired == datetime(2704, 5, 4, 10, 44, 18, 529000)
    assert variable.num_samples == 543240
    assert np.isnan(variable.signal[0, :25740]).all()
    assert not np.isnan(variable.signal[0, 25740 : 25740 + 100]).any()


@pytest.mark.parametrize("storage", [508, 516, 524])
def test_flac_of_real_encoders(data: Path, tmp_path: Path, storage: int) -> None:
    """The real streams, under the name of a lead; without it they are refused."""
    folder = data / "awkward" / "wfdb-flac-mixed-rates"
    lines = (folder / "flacformats.hea").read_text().splitlines()
    (line,) = (line for line in lines if f" {storage} " in line)
    for path in folder.glob("flacformats.d*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    header = tmp_path / "zz7.hea"
    header.write_text(f"zz7 1 200 499\n{line[: line.index('sig')]}I\n")
    (source,) = find([header])
    recording = read(source)
    assert isinstance(recording, Recording), recording
    assert_equals_wfdb(recording, header)


def test_a_small_stream_of_many_samples_is_not_unpacked(data: Path, tmp_path: Path) -> None:
    folder = data / "awkward" / "wfdb-flac-mixed-rates"
    (tmp_path / "flac_3_constant.dat").write_bytes((folder / "flac_3_constant.dat").read_bytes())
    text = (folder / "flac_3_constant.hea").read_text()
    reasons = []
    for first in ("3 250 5600000", "3 250 5000000", "3 250"):
        (tmp_path / "zz7.hea").write_text(text.replace("3 250 5600000", first).replace("col 0", "I"))
        (source,) = find([tmp_path / "zz7.hea"])
        reasons.append(getattr(read(source), "reason", None))
    assert reasons == ["too_long"] * 3


def test_wrong_gains_over_right_samples(data: Path) -> None:
    """What becomes of the first headers of CinC 2020: nothing in a header says that its gain is wrong.

    E* are refused for their record line. S* are 2000 times too small: the amplitude gate refuses them. HR* are five
    times too large and pass: 3.9 to 9.6 mV from peak to peak in the median lead, and real ECGs reach 5.1 mV.
    """
    outcomes = {}
    for source in find([data / "awkward" / "cinc2020-early-headers"], (WFDB,)):
        recording = read(source)
        gate = assess(recording, QualityConfig()) if isinstance(recording, Recording) else recording
        outcomes[source.path.stem] = gate.reason if isinstance(gate, Rejected) else "passed"
        assert isinstance(gate, Assessed | Rejected)
    assert outcomes == {
        "A0001": "passed",  # 1000 counts a millivolt, which is right
        "E00001": "record_name",
        "E00002": "record_name",
        "HR00001": "passed",
        "HR00002": "passed",
        "HR00599": "passed",
        "HR20715": "passed",
        "S0002": "amplitude_low",
    }
