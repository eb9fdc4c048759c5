"""Labels in the comments of WFDB headers: SNOMED codes of the challenges, a flag of CODE-15."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from hemometric.corpus import ColumnsTable, LabelSpec
from hemometric.corpus.headers_table import HeadersTable
from hemometric.corpus.metadata import NULLED
from hemometric.ecg import Recording
from hemometric.errors import UsageError
from hemometric.vendors import find, read

DX = HeadersTable(labels={"snomed": LabelSpec(column="Dx", kind="codes", separator=",")})


def comment(header: Path, *lines: str) -> None:
    header.write_text(header.read_text() + "".join(f"{line}\n" for line in lines))


def test_codes_are_joined_by_the_name_of_the_record(tmp_path: Path, write_record: Any) -> None:
    folder = tmp_path / "src"
    for number, lines in enumerate(
        (["#Age: 5", "#Dx: 426783006,  164889003,426783006"], ["# Dx: Unknown"], [], ["#Dx: 1", "#Dx: 2"])
    ):
        comment(write_record(folder / f"g{number}", "A1"), *lines)
    (folder / "g4").mkdir()
    (folder / "g4" / "A1.hea").write_text("no header\n#Dx: 3\n")
    table = DX.build([folder])
    found = {key: table.lookup(f"src/{key}/A1") for key in ("g3", "g0", "g1", "g2", "g4")}
    assert {key: one.labels["snomed"] for key, one in found.items() if one is not None} == {
        "g0": ["164889003", "426783006"], "g1": None, "g2": None, "g3": ["1"], "g4": None,
    }  # fmt: skip
    assert table.lookup("src/g5/A1") is None
    assert table.sha256 == DX.build([folder]).sha256
    comment(folder / "g2" / "A1.hea", "#Dx: 7")
    assert table.sha256 != DX.build([folder]).sha256


def test_a_flag_and_a_number_and_what_is_neither(tmp_path: Path, write_record: Any) -> None:
    labels = {
        "chagas": LabelSpec(columns=("Chagas label",), kind="codes"),
        "mpcwp_mmhg": LabelSpec(column="PCWP", unit="mmHg", source_unit="kPa", high=60),
    }
    for number, (flag, wedge) in enumerate((("True", "2"), ("False", "20"), ("perhaps", "2 kPa"))):
        comment(write_record(tmp_path, f"r{number}"), f"# Chagas label: {flag}", f"# PCWP: {wedge}")
    rows = HeadersTable(labels=labels).build([tmp_path]).rows
    assert rows["label.chagas"].to_pylist() == [["Chagas label"], [], None]
    assert rows["label.mpcwp_mmhg"].to_pylist() == [pytest.approx(15.0012, rel=1e-5), None, None]
    assert rows[NULLED].to_pylist() == [
        [],
        ["label.mpcwp_mmhg"],
        ["label.chagas (unreadable)", "label.mpcwp_mmhg (unreadable)"],
    ]


def test_a_field_that_no_header_has_is_said(tmp_path: Path, write_record: Any) -> None:
    write_record(tmp_path, "r")
    with pytest.raises(UsageError, match="none of 1 WFDB headers has a comment '# Dx: …'"):
        DX.build([tmp_path])


def real(name: str) -> Path:
    folder = os.environ.get("HEMOMETRIC_DATA")
    if folder is None:
        pytest.fail(f"HEMOMETRIC_DATA is not set: give the folder that holds {name}")
    return Path(folder) / name


@pytest.mark.data
def test_the_challenge_of_2021_agrees_with_a_plain_reading() -> None:
    folder = real("cinc2021")
    table = DX.build([folder])
    headers = sorted(folder.rglob("*.hea"))
    assert len(headers) > 50
    for header in headers:
        codes = re.findall(r"^#\s*Dx:(.*)$", header.read_text(), re.MULTILINE)[0]
        found = table.lookup(f"cinc2021/{header.relative_to(folder).with_suffix('')}")
        assert found is not None
        assert found.labels["snomed"] == sorted({code.strip() for code in codes.split(",")})


@pytest.mark.data
def test_code_15_of_the_challenge_of_2025() -> None:
    spec = LabelSpec(columns=("Chagas label",), kind="codes")
    rows = HeadersTable(labels={"chagas": spec}).build([real("code15-chagas")]).rows
    found = rows["label.chagas"].to_pylist()
    assert (len(found), found.count(["Chagas label"]), found.count([])) == (153, 9, 144)


@pytest.mark.data
def test_code_15_joined_by_exam_id_to_a_table_that_was_shuffled(tmp_path: Path) -> None:
    folder = real("code15-chagas")
    exams = {}
    for header in sorted(folder.glob("*.hea")):
        fields = dict(re.findall(r"^# (.+?): (.+)$", header.read_text(), re.MULTILINE))
        exams[header.stem] = fields
        assert fields["Exam ID"] == header.stem
    lines = [f"{f['Exam ID']},{f['Patient ID']},{f['Age']},{f['Sex'] == 'Male'}" for f in exams.values()]
    (tmp_path / "exams.csv").write_text(
        "\n".join(["exam_id,patient_id,age,is_male", *sorted(lines, key=lambda line: line[::-1])]) + "\n"
    )
    table = ColumnsTable(
        path=tmp_path / "exams.csv", record="exam_id", patient="patient_id", age="age", sex="is_male",
        sexes={"true": "male", "false": "female"},
    ).build([])  # fmt: skip
    sources = list(find([folder]))
    assert len(sources) == 153
    rows = table.take(table.positions([source.key for source in sources])).to_pylist()
    for source, row in zip(sources, rows, strict=True):
        recording, fields = read(source), exams[source.key.rpartition("/")[2]]
        assert isinstance(recording, Recording)
        assert row["patient_id"] == fields["Patient ID"] == recording.patient_id
        assert (row["age_years"], row["sex"]) == (min(float(fields["Age"]), 90), fields["Sex"].lower())
        assert row["sex"] == recording.sex
