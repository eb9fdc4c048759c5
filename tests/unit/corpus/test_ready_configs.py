"""The shipped ingest configs on tables and files of the very shape that each archive has."""

from __future__ import annotations

import gzip
import importlib.util
import itertools
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hemometric.corpus import IngestConfig, Key, load_or_create_key, open_corpus, verify
from hemometric.corpus.measured_rows import FATES, stage_measurements
from hemometric.corpus.pairing import Paired, Pairing
from hemometric.ecg import LEADS, Float32, Recording
from hemometric.runs import catalogue
from hemometric.vendors import Source, find, read

ROOT = Path(__file__).parents[3]
NOTHING = dict.fromkeys(FATES, 0)
WriteRecord = Callable[..., Path]


def ready(name: str, folder: Path) -> IngestConfig:
    """Give a shipped config, its files in `folder` under the names that they have in the config."""
    config = catalogue.decode(ROOT / "configs" / "ingest" / f"{name}.yaml").ingest  # type: ignore[attr-defined]

    def moved(part: Any) -> Any:
        return part.model_copy(update={"path": folder / part.path}) if getattr(part, "path", None) else part

    measurements = tuple(moved(table) for table in config.measurements)
    found: IngestConfig = config.model_copy(update={"table": moved(config.table), "measurements": measurements})
    return found


def sources(name: str) -> Path:
    config = catalogue.decode(ROOT / "configs" / "ingest" / f"{name}.yaml")
    (folder,) = config.sources  # type: ignore[attr-defined]
    return Path(folder)


def joined(config: IngestConfig, root: Path, key: Key, staging: Path) -> dict[str, Paired]:
    """Pair as an ingest does: patient and time of the table before those of the file."""
    pairing = Pairing(stage_measurements(config.measurements, staging, key))
    table = config.table.build([root])
    found: dict[str, Paired] = {}
    for source in find([root]):
        recording = read(source)
        assert isinstance(recording, Recording)
        row = table.lookup(source.key)
        patient = key.patient((row and row.patient_id) or recording.patient_id or "")
        acquired = (row and row.acquired) or recording.acquired
        found[source.key] = pairing.paired(patient, acquired and acquired + key.date_shift(patient))
    return found


def signal(write_record: WriteRecord, folder: Path, seed: int, rate_hz: int, num_samples: int) -> Float32:
    """Millivolts [lead, sample] of a small ECG."""
    header = write_record(folder / "plain", f"s{seed}", seed=seed, rate_hz=rate_hz, num_samples=num_samples)
    recording = read(Source("x", header, "wfdb"))
    assert isinstance(recording, Recording)
    return recording.signal


def write_vendor(name: str, folder: Path, values: Float32, **person: object) -> Path:
    """Write one file of a format by the encoder of its tests."""
    place = ROOT / "tests" / "vendor_files" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"vendor_files_{name}", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    known = {
        "age_years": 63, "sex": "female", "name": "CANARY^JANE", "birth_date": date(1957, 3, 2), "serial": "SN1",
        "note": "sinus rhythm",
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path: Path = module.write(folder, values, LEADS, 500.0, known | person)
    return path


def test_code_15_joins_its_exams_by_id(
    tmp_path: Path, key: Key, write_record: WriteRecord, ingest: Callable[..., Any]
) -> None:
    root = tmp_path / sources("code15")
    root.mkdir(parents=True)
    for part, exams in enumerate(((1169160, 2873686), (168405,))):
        tracings = np.stack([signal(write_record, tmp_path, exam % 97, 400, 4096).T for exam in exams])
        with h5py.File(root / f"exams_part{part}.hdf5", "w") as file:
            file["tracings"] = tracings.astype(np.float32)
            file["exam_id"] = np.array(exams)
    (root / "exams.csv").write_text(
        "exam_id,age,is_male,nn_predicted_age,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,death,timey,normal_ecg,trace_file\n"
        "168405,56,False,55.1,False,False,False,False,False,False,5,False,2.0,True,exams_part1.hdf5\n"
        "2873686,81,True,70.2,False,True,False,False,False,True,7,,,False,exams_part0.hdf5\n"
        "1169160,38,True,40.2,False,False,False,False,False,False,7,,,True,exams_part0.hdf5\n"
        "99,38,True,40.2,False,False,False,False,False,False,8,,,True,exams_part17.hdf5\n"  # a part not fetched
    )
    ingest(ready("code15", tmp_path), [root], tmp_path / "out", key)
    rows = open_corpus(tmp_path / "out").table().to_pylist()
    by_id = {row["recording_id"]: row for row in rows}
    for name, age, sex, abnormal, normal in (
        ("exams_part0.hdf5/1169160", 38, "male", [], ["normal_ecg"]),
        ("exams_part0.hdf5/2873686", 81, "male", ["AF", "RBBB"], []),
        ("exams_part1.hdf5/168405", 56, "female", [], ["normal_ecg"]),
    ):
        row = by_id.pop(key.recording_id(f"code15/{name}"))
        assert (row["age_years"], row["sex"]) == (age, sex)
        assert (row["label.abnormalities"], row["label.normal"]) == (abnormal, normal)
    assert not by_id
    assert len({row["patient"] for row in rows}) == 2


def test_the_challenge_of_2021_takes_its_codes_from_the_headers(
    tmp_path: Path, key: Key, write_record: WriteRecord, ingest: Callable[..., Any]
) -> None:
    root = tmp_path / sources("cinc2021")
    for number, codes in enumerate(("426783006", "164889003,59118001", "270492004")):
        header = write_record(root / f"g{number}", f"E0000{number}", seed=number, rate_hz=500, num_samples=5000)
        header.write_text(header.read_text() + f"#Age: 63\n#Sex: Male\n#Dx: {codes}\n#Rx: Unknown\n")
    ingest(ready("cinc2021", tmp_path), [root], tmp_path / "out", key)
    rows = open_corpus(tmp_path / "out").table().to_pylist()
    found = {row["recording_id"]: row["label.snomed"] for row in rows}
    assert found == {
        key.recording_id("cinc2021/g0/E00000"): ["426783006"],
        key.recording_id("cinc2021/g1/E00001"): ["164889003", "59118001"],
        key.recording_id("cinc2021/g2/E00002"): ["270492004"],
    }
    assert {(row["age_years"], row["sex"]) for row in rows} == {(63, "male")}


def swap_avl_and_avf(header: Path) -> None:
    """Store aVF before aVL, as MIMIC-IV-ECG does: the samples and the lines of the header change places together."""
    lines = header.read_text().splitlines()
    lines[5], lines[6] = lines[6], lines[5]
    header.write_text("\n".join(lines) + "\n")
    data = header.with_suffix(".dat")
    counts = np.frombuffer(data.read_bytes(), "<i2").reshape(-1, 12)[:, [0, 1, 2, 3, 5, 4, *range(6, 12)]]
    data.write_bytes(counts.tobytes())


def test_mimic_pairs_each_ecg_with_the_catheter_of_its_patient(
    tmp_path: Path, key: Key, write_record: WriteRecord
) -> None:
    config = ready("mimic", tmp_path)
    root = tmp_path / sources("mimic")
    list_lines = ["subject_id,study_id,file_name,ecg_time,path"]
    for subject, study, time in (
        ("10000032", "40689238", "2180-07-23 08:44:00"),
        ("10000032", "44458630", "2180-07-23 09:54:00"),
        ("10000117", "45090959", "2181-03-04 17:14:00"),
        ("10000285", "42709053", "2159-11-26 14:29:00"),
    ):
        place = f"files/p1000/p{subject}/s{study}/{study}"
        header = write_record(tmp_path / "data/mimic-iv-ecg" / Path(place).parent, study, seed=int(study) % 99)
        plain = read(Source("x", header, "wfdb"))
        swap_avl_and_avf(header)
        odd = read(Source("x", header, "wfdb"))
        assert isinstance(plain, Recording)
        assert isinstance(odd, Recording)
        assert odd.leads[4:6] == ("aVF", "aVL")
        for lead in LEADS:
            assert np.array_equal(odd.signal[odd.leads.index(lead)], plain.signal[plain.leads.index(lead)])
        list_lines.append(f"{subject},{study},{study},{time},{place}")
    (tmp_path / "data/mimic-iv-ecg/record_list.csv").write_text("\n".join(list_lines) + "\n")
    events = ["subject_id,hadm_id,stay_id,caregiver_id,charttime,storetime,itemid,value,valuenum,valueuom,warning"]
    number = itertools.count()
    for subject, time, item, value, unit in (
        ("10000032", "2180-07-23 09:00:00", 223771, "18", "mmHg"),
        ("10000032", "2180-07-23 12:00:00", 223771, "22", "mmHg"),
        ("10000032", "2180-07-23 09:00:00", 220061, "31", "mmHg"),
        ("10000032", "2180-07-23 09:00:00", 220045, "88", "bpm"),  # heart rate: not asked for
        ("10000032", "2180-07-23 09:30:00", 220088, "999999", "L/min"),
        ("10000117", "2181-03-06 17:14:01", 223771, "14", "mmHg"),  # two days later
        ("10000285", "2159-11-25 14:29:00", 220088, "4.5", "L/min"),  # a day before, to the minute
    ):
        events.append(f"{subject},2,3,{next(number)},{time},{time},{item},{value},{value},{unit},0")
    chart = config.measurements[0].path
    chart.parent.mkdir(parents=True)
    chart.write_bytes(gzip.compress(("\n".join(events) + "\n").encode()))

    found = joined(config, root, key, tmp_path / "staging")
    one, two, other, third = (found[name] for name in sorted(found))
    assert [one.columns[f"label.mpcwp_mmhg{end}"] for end in ("", "_delta_h")] == pytest.approx([18, 16 / 60])
    assert [two.columns[f"label.mpcwp_mmhg{end}"] for end in ("", "_delta_h")] == pytest.approx([18, -54 / 60])
    assert one.columns["label.mpap_mmhg"] == 31
    assert one.outcomes["co_l_min"] == "no_partner"
    assert other.outcomes["mpcwp_mmhg"] == "out_of_window"
    assert [third.columns[f"label.co_l_min{end}"] for end in ("", "_delta_h")] == [4.5, -24.0]
    counts = stage_measurements(config.measurements, tmp_path / "staging", key).counts
    assert counts["mpcwp_mmhg"] == NOTHING | {"used": 3}
    assert counts["co_l_min"] == NOTHING | {"used": 1, "out_of_range": 1}
    assert counts["rap_mmhg"] == NOTHING


def test_ml4h_pairs_by_the_name_of_the_file(tmp_path: Path, key: Key, write_record: WriteRecord) -> None:
    config = ready("ml4h", tmp_path)
    root = tmp_path / sources("ml4h")
    for mrn, hour in (("1234567", 8), ("0004567", 8), ("7654321", 8)):
        values = signal(write_record, tmp_path, int(mrn) % 97, 500, 5000)
        write_vendor("hdf5", root, values, patient_id=mrn, acquired=datetime(2004, 2, 8, hour, 56))
    config.measurements[0].path.write_text(
        "mrn,procedure_time,pcwp_mean,pa_mean,ra_mean,fick_co\n"
        "1234567,2004-02-08 11:56:00,21,34,9,4.4\n"
        "0004567,2004-02-08 06:00:00,12,20,5,5.0\n"  # before the ECG: not asked for
        "7654321,2004-02-08 11:56:00,-40,34,,999\n"
    )
    found = {name.split("/")[1]: pair for name, pair in joined(config, root, key, tmp_path / "staging").items()}
    paired, before, bad = (found[f"{mrn}.hd5"] for mrn in ("1234567", "0004567", "7654321"))
    assert [paired.columns[f"label.{name}"] for name in ("mpcwp_mmhg", "mpap_mmhg", "rap_mmhg", "co_l_min")] == [
        21, 34, 9, 4.4,
    ]  # fmt: skip
    assert paired.columns["label.co_l_min_delta_h"] == 3.0
    assert set(before.outcomes.values()) == {"out_of_window"}
    assert bad.outcomes["mpcwp_mmhg"] == bad.outcomes["co_l_min"] == bad.outcomes["rap_mmhg"] == "no_partner"
    assert bad.columns["label.mpap_mmhg"] == 34
    counts = stage_measurements(config.measurements, tmp_path / "staging", key).counts
    assert counts["mpcwp_mmhg"] == NOTHING | {"used": 2, "out_of_range": 1}
    assert counts["rap_mmhg"] == NOTHING | {"used": 2, "no_value": 1}


def test_muse_pairs_with_a_table_in_german_form(tmp_path: Path, key: Key, write_record: WriteRecord) -> None:
    config = ready("muse", tmp_path)
    root = tmp_path / sources("muse")
    for mrn in ("00123", "123"):
        values = signal(write_record, tmp_path, int(mrn) + len(mrn), 500, 5000)
        write_vendor("ge_muse", root / mrn, values, patient_id=mrn, acquired=datetime(2019, 5, 3, 7, 30))
    config.measurements[0].path.write_text(
        "PatientID;Untersuchung;PAWP;mPAP;HZV\n00123;04.05.2019 09:30;17;4;4800\n123;03.05.2019 10:00;8;2;x\n",
        encoding="utf-8-sig",
    )
    found = {name.split("/")[1]: pair for name, pair in joined(config, root, key, tmp_path / "staging").items()}
    assert found["00123"].columns["label.mpcwp_mmhg"] == 17
    assert found["00123"].columns["label.mpcwp_mmhg_delta_h"] == 26.0
    assert found["00123"].columns["label.mpap_mmhg"] == pytest.approx(30.002, rel=1e-4)
    assert found["00123"].columns["label.co_l_min"] == pytest.approx(4.8)
    assert found["123"].columns["label.mpcwp_mmhg"] == 8
    assert found["123"].outcomes["co_l_min"] == "no_partner"
    counts = stage_measurements(config.measurements, tmp_path / "staging", key).counts
    assert counts["co_l_min"] == NOTHING | {"used": 1, "unreadable": 1}


def test_the_worked_example_of_the_readme_is_what_happens(tmp_path: Path, key: Key) -> None:
    config = ready("mimic", tmp_path)
    text = (ROOT / "configs" / "README.md").read_text(encoding="utf-8")
    table = text.split("| charttime |")[1].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert len(rows) == 8
    chart = config.measurements[0].path
    chart.parent.mkdir(parents=True)
    lines = [f"10000032,2180-{time}:00,{item},{value},{unit}" for time, item, value, unit, _ in rows]
    chart.write_text("\n".join(["subject_id,charttime,itemid,valuenum,valueuom", *lines]) + "\n")
    measured = stage_measurements(config.measurements, tmp_path / "staging", key)
    counts = measured.counts
    assert counts["mpcwp_mmhg"] == NOTHING | {"used": 2, "repeated": 1, "contradicted": 2}
    assert counts["mpap_mmhg"] == NOTHING | {"used": 1}
    assert counts["co_l_min"] == NOTHING | {"out_of_range": 1, "unknown_unit": 1}
    patient = key.patient("10000032")
    found = Pairing(measured).paired(patient, datetime(2180, 7, 23, 8, 44) + key.date_shift(patient))
    said = rows[0][-1]
    assert said == (
        f"`mpcwp_mmhg` {found.columns['label.mpcwp_mmhg']:g}, "
        f"`mpcwp_mmhg_delta_h` {found.columns['label.mpcwp_mmhg_delta_h']:.2f}"
    )
    assert f"`mpap_mmhg` {found.columns['label.mpap_mmhg']:.1f}" == rows[5][-1]
    assert found.outcomes["co_l_min"] == "no_partner"


def test_arrays_are_read_as_the_config_says(
    tmp_path: Path, key: Key, write_record: WriteRecord, ingest: Callable[..., Any]
) -> None:
    config = ready("npy", tmp_path)
    root = tmp_path / sources("npy")
    root.mkdir(parents=True)
    values = [signal(write_record, tmp_path, seed, 500, 5000).astype(np.float32) for seed in (1, 2)]
    for name, array in zip(("1234", "77"), values, strict=True):
        np.save(root / f"{name}.npy", array)
    config.table.path.write_text("file,patient,taken_at\n1234,p1,2019-05-03T07:30\n77.npy,p2,\n")
    ingest(config, [root], tmp_path / "out", key)
    found = {row["patient"]: recording for row, recording in open_corpus(tmp_path / "out").recordings()}
    for patient, array in zip(("p1", "p2"), values, strict=True):
        np.testing.assert_allclose(found[key.patient(patient)].signal, array, atol=2e-3)


def test_several_hospitals_in_one_corpus(tmp_path: Path, write_record: WriteRecord, ingest: Callable[..., Any]) -> None:
    """Ids by site and spelling, linked people, a hospital that tests, catheters under any of a person's ids."""
    path = tmp_path / "pseudonym.key"
    path.write_text("0123456789abcdef" * 4)
    path.chmod(0o600)
    config = ready("sites", tmp_path)
    links = tmp_path / "data" / "same_people.csv"
    config = config.model_copy(update={"identity": config.identity.model_copy(update={"same": links})})
    roots = [tmp_path / "data" / site for site in ("north", "south", "east")]
    rows = ["file,mrn,hospital,taken_at"]
    for number, (site, mrn) in enumerate(
        [("north", "00-123"), ("north", "123"), ("north", "9"), ("south", "77"), ("south", "123"), ("east", "5")]
    ):
        write_record(tmp_path / "data" / site, f"r{number}", seed=number)
        rows.append(f"{site}/r{number},{mrn},{site},2020-01-0{number + 1}T12:00:00")
    (tmp_path / "data" / "ecgs.csv").write_text("\n".join(rows) + "\n")
    links.write_text("id,same_as\nnorth/9,south/0077\n")
    (tmp_path / "data" / "catheters.csv").write_text(
        "person,measured_at,wedge\nnorth/123,2020-01-02T18:00,21\nsouth/77,2020-01-04T00:00,9\n"
    )
    out = tmp_path / "out"
    manifest = ingest(config, roots, out, load_or_create_key(path))
    assert verify(out) == manifest
    assert manifest.counts.rejected == {"linked_across_splits": 1}, "9 of north is 77 of south, who validates"
    splits = {name: (one.recordings, one.patients) for name, one in manifest.counts.splits.items()}
    assert splits == {"train": (2, 1), "validation": (2, 2), "test": (1, 1)}
    labels = open_corpus(out).table(columns=["split", "label.mpcwp_mmhg", "label.mpcwp_mmhg_delta_h"]).to_pylist()
    found = sorted(tuple(row.values()) for row in labels if row["label.mpcwp_mmhg"] is not None)
    assert found == [("train", 21.0, 6.0), ("train", 21.0, 30.0)]
