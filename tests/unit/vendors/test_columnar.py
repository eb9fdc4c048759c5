"""Parquet and Arrow files with one ECG a row: layouts, row groups, and types that are refused."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from hemometric.ecg import LEADS, Recording, Rejected
from hemometric.vendors import find, read_all
from hemometric.vendors.columnar_format import ColumnarConfig

FORMATS = ("parquet", "arrow")
every_format = pytest.mark.parametrize("name", FORMATS)


def ecgs(num: int = 5) -> np.ndarray:
    """int16 [ecg, lead, sample] in microvolts."""
    return np.random.default_rng(4).integers(-2000, 2000, (num, 12, 50)).astype(np.int16)


def write(path: Path, table: pa.Table, rows: int = 2, **options: Any) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=rows, **options)
        return
    with pa.ipc.new_file(str(path), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=rows)


def read_table(
    folder: Path, name: str, columns: dict[str, Any] | pa.Table, **fields: Any
) -> list[Recording | Rejected]:
    path = folder / f"ecgs.{name}"
    write(path, columns if isinstance(columns, pa.Table) else pa.table(columns))
    return read_file(path, **fields)


def read_file(path: Path, **fields: Any) -> list[Recording | Rejected]:
    vendors = ColumnarConfig(**{"unit": "uV", "rate_hz": 500} | fields).build()
    return list(read_all(list(find([path], vendors)), vendors))


def reasons(found: Sequence[Recording | Rejected]) -> list[str]:
    for one in found:
        assert not isinstance(one, Rejected) or not ("/tmp" in one.detail or "Canaria" in one.detail)
    return [one.reason if isinstance(one, Rejected) else "read" for one in found]


def by_lead(kind: pa.DataType) -> dict[str, Any]:
    return {lead: pa.array(ecgs()[:, row].tolist(), kind) for row, lead in enumerate(LEADS)}


def nested(values: np.ndarray, kind: pa.DataType) -> dict[str, Any]:
    return {"ecg": pa.array(values.tolist(), kind)}


NESTED = pa.list_(pa.list_(pa.int16()))
LAYOUTS = {
    "a list a lead": (by_lead(pa.list_(pa.int16())), {}),
    "a large list a lead": (by_lead(pa.large_list(pa.int32())), {}),
    "a list of fixed length a lead": (by_lead(pa.list_(pa.int64(), 50)), {}),
    "floats": (by_lead(pa.list_(pa.float32())), {}),
    "lists of lists": (nested(ecgs(), NESTED), {"signal": "ecg"}),
    "lists of lists, samples outside": (
        nested(ecgs().transpose(0, 2, 1), NESTED),
        {"signal": "ecg", "axes": ("sample", "lead")},
    ),
    "fixed lists of fixed lists": (nested(ecgs(), pa.list_(pa.list_(pa.float64(), 50), 12)), {"signal": "ecg"}),
    "one list": (nested(ecgs().reshape(5, -1), pa.list_(pa.int16())), {"signal": "ecg"}),
    "one list, samples outside": (
        nested(ecgs().transpose(0, 2, 1).reshape(5, -1), pa.list_(pa.int16())),
        {"signal": "ecg", "axes": ("sample", "lead")},
    ),
    "bytes": ({"ecg": pa.array([one.tobytes() for one in ecgs()], pa.binary())}, {"signal": "ecg"}),
    "bytes of floats, samples outside": (
        {"ecg": pa.array([one.T.astype("<f8").tobytes() for one in ecgs()], pa.large_binary())},
        {"signal": "ecg", "axes": ("sample", "lead"), "stored": "float64"},
    ),
}


@every_format
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_way_to_lay_out_the_samples(layout: str, name: str, tmp_path: Path) -> None:
    columns, fields = LAYOUTS[layout]
    found = read_table(tmp_path, name, columns, **fields)
    assert [one.key for one in found] == [f"{tmp_path.name}/ecgs.{name}/{row}" for row in range(5)]
    for one, counts in zip(found, ecgs(), strict=True):
        assert isinstance(one, Recording), one
        assert (one.leads, one.rate_hz, one.source_format) == (LEADS, 500.0, name)
        if "float" in layout or "fixed lists" in layout:
            assert np.abs(one.signal - counts / 1000).max() <= one.quantisation_error_mv + 1e-6
        else:
            assert np.array_equal(one.counts, counts)
            assert (one.gain_per_mv[0], one.quantisation_error_mv) == (1000.0, 0.0)


@every_format
def test_what_is_said_of_each_row(name: str, tmp_path: Path) -> None:
    columns = by_lead(pa.list_(pa.int16())) | {
        "exam": ["e", "d", "c", "b", "a"],
        "hz": pa.array([100, 250, 500, None, 0]),
        "who": pa.array([7.0, 8.0, None, 10.0, 11.0]),  # as pandas stores whole numbers among which one is missing
        "years": pa.array(["56", "300", "", None, "0.5"]).dictionary_encode(),
        "sex": pa.array(["F", "weiblich", "M", "?", None]),
        "when": pa.array([datetime(2019, 11, 5, 13, 37, tzinfo=UTC)] * 5, pa.timestamp("ms", "UTC")),
    }
    config = {"rate_hz": None, "rate": "hz", "id": "exam", "patient": "who", "age": "years", "sex": "sex"}
    found = read_table(tmp_path, name, columns, **config, sexes={"f": "female", "Weiblich": "female"}, time="when")
    assert [one.key[-1] for one in found] == ["a", "b", "c", "d", "e"]
    assert reasons(found) == ["rate_missing", "rate_missing", "read", "read", "read"]
    told = [(one.rate_hz, one.patient_id, one.age_years, one.sex) for one in found if isinstance(one, Recording)]
    assert told == [(500.0, None, None, None), (250.0, "8", None, "female"), (100.0, "7", 56.0, "female")]
    assert found[2].acquired == datetime(2019, 11, 5, 13, 37)  # type: ignore[union-attr]


@every_format
@pytest.mark.parametrize(
    ("kind", "stored", "expected"),
    [
        (pa.timestamp("ns"), 1572961079123456789, datetime(2019, 11, 5, 13, 37, 59, 123456)),
        (pa.timestamp("s", "+05:30"), 1572961079, datetime(2019, 11, 5, 19, 7, 59)),
        (pa.timestamp("s", "Nowhere/Atall"), 1572961079, None),
        (pa.string(), "2019-11-05 13:37:59+01:00", datetime(2019, 11, 5, 13, 37, 59)),
        (pa.string(), "5.11.2019", None),
        (pa.date32(), 18205, None),
    ],
)
def test_the_wall_clock(
    name: str, kind: pa.DataType, stored: object, expected: datetime | None, tmp_path: Path
) -> None:
    columns = {"I": [[1, 2]], "when": pa.array([stored], kind)}
    (one,) = read_table(tmp_path, name, columns, leads=("I",), time="when")
    assert isinstance(one, Recording)
    assert one.acquired == expected
    assert expected is None or type(one.acquired) is datetime


@every_format
def test_columns_with_dots_in_their_names(name: str, tmp_path: Path) -> None:
    (one,) = read_table(tmp_path, name, {"ecg.I": [[1, 2]], "ecg": [3]}, leads=("I",), lead_columns=("ecg.I",))
    assert isinstance(one, Recording)


@every_format
def test_lead_columns_of_other_names(name: str, tmp_path: Path) -> None:
    columns = {"ch0": [[1, 2]], "ch1": [[3, 4]]}
    (one,) = read_table(tmp_path, name, columns, leads=("V1", "II"), lead_columns=("ch0", "ch1"))
    assert isinstance(one, Recording)
    assert (one.leads, one.counts.tolist()) == (("V1", "II"), [[1, 2], [3, 4]])


@every_format
def test_rows_that_are_no_ecg_leave_the_others(name: str, tmp_path: Path) -> None:
    cells = [[[1, 2], [3, 4]], None, [], [[1, 2], [3]], [[1, 2]], [[], []], [[1, None], [3, 4]], [None, [3, 4]]]
    found = read_table(tmp_path, name, {"ecg": pa.array(cells, NESTED)}, signal="ecg", leads=("I", "II"))
    shape, length = "unsupported", "truncated"
    assert reasons(found) == ["read", "no_waveform", shape, length, shape, length, "read", length]
    missing = found[6]
    assert isinstance(missing, Recording)
    assert np.argwhere(np.isnan(missing.signal)).tolist() == [[0, 1]]


@every_format
@pytest.mark.parametrize(
    ("columns", "fields", "reason"),
    [
        ({"ecg": ["text"]}, {}, "unsupported"),
        ({"ecg": [1.5]}, {}, "unsupported"),
        ({"ecg": [["a", "b"]]}, {}, "unsupported"),
        ({"ecg": [[True, False]]}, {}, "unsupported"),
        ({"ecg": pa.array([[1, 2, 3]])}, {}, "truncated"),
        ({"ecg": pa.array([[[1, 2, 3, 4], [5, 6, 7, 8]]])}, {"axes": ("sample", "lead")}, "unsupported"),
        ({"ecg": pa.array([b"123"])}, {}, "truncated"),
        ({"ecg": pa.array([b"12"])}, {}, "truncated"),
        ({"ecg": pa.array([b""])}, {}, "truncated"),
        ({"other": [1]}, {}, "no_waveform"),
        ({"ecg": pa.array([[1, 2]]), "id": pa.array([None], pa.string())}, {"id": "id"}, "id_missing"),
        ({"ecg": pa.array([[1, 2]] * 2), "id": ["a", "a"]}, {"id": "id"}, "duplicate_id"),
        ({"ecg": pa.array([[1, 2]]), "id": pa.array([[1]])}, {"id": "id"}, "id_missing"),
        ({"ecg": pa.array([[1, 2]]), "id": ["x" * 999]}, {"id": "id"}, "id_missing"),
        ({"ecg": pa.array([[1, 2]]), "id": ["a\nb"]}, {"id": "id"}, "id_missing"),
        ({"ecg": pa.array([[1 << 40, 2]])}, {}, "unreadable"),
        ({"ecg": pa.array([], pa.list_(pa.int16()))}, {}, "no_waveform"),
    ],
)
def test_tables_that_hold_no_ecg(name: str, columns: dict, fields: dict, reason: str, tmp_path: Path) -> None:
    assert reasons(read_table(tmp_path, name, columns, signal="ecg", leads=("I", "II"), **fields)) == [reason]


class Pickled(pa.ExtensionType):  # type: ignore[misc]
    """As ray.data has it: what is stored would be unpickled when it is read."""

    def __init__(self) -> None:
        super().__init__(pa.binary(), "hemometric.test.pickled")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> "Pickled":
        return cls()


@every_format
@pytest.mark.parametrize("is_nested", [False, True])
def test_a_column_of_a_type_of_its_own_is_refused(name: str, is_nested: bool, tmp_path: Path) -> None:
    pa.register_extension_type(Pickled())
    try:
        own = pa.ExtensionArray.from_storage(Pickled(), pa.array([b"1234"]))
        if is_nested:
            own = pa.StructArray.from_arrays([own], ["inner"])
        table = pa.table({"ecg": pa.array([[1, 2]]), "own": own})
        assert reasons(read_table(tmp_path, name, table, signal="ecg", leads=("I", "II"))) == ["unsafe"]
    finally:
        pa.unregister_extension_type("hemometric.test.pickled")


@every_format
def test_compressed_tables(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"ecgs.{name}"
    for compression in ("zstd", "lz4"):
        write(path, pa.table(by_lead(pa.list_(pa.int16()))), compression=compression)
        assert reasons(read_file(path)) == ["read"] * 5


@every_format
def test_a_block_that_is_too_large_is_refused_with_the_remedy(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hemometric.vendors.columnar_file.MAX_BLOCK_BYTES", 500)
    found = read_table(tmp_path, name, by_lead(pa.list_(pa.int16())))
    assert set(reasons(found)) == {"too_large"}
    assert isinstance(found[0], Rejected)
    assert ("row_group_size" if name == "parquet" else "max_chunksize") in found[0].detail


@every_format
def test_a_damaged_block_leaves_the_others(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"ecgs.{name}"
    options = {"write_page_checksum": True, "use_dictionary": False} if name == "parquet" else {"compression": "zstd"}
    signals = [np.tile(one, 20).tobytes() for one in ecgs(6)]
    write(path, pa.table({"id": list("abcdef"), "ecg": pa.array(signals)}), **options)
    content = bytearray(path.read_bytes())
    place = len(content) // 2  # amid the second of three blocks
    content[place : place + 40] = bytes(40)
    path.write_bytes(bytes(content))
    assert reasons(read_file(path, signal="ecg", id="id")) == ["read"] * 2 + ["unreadable"] * 2 + ["read"] * 2


@every_format
def test_rows_are_given_in_the_order_that_is_asked_for(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"ecgs.{name}"
    write(path, pa.table(nested(ecgs(23), NESTED)), rows=4)
    (vendor,) = (one for one in ColumnarConfig(unit="uV", rate_hz=500, signal="ecg").build() if one.name == name)
    asked = {str(row): f"key {row}" for row in (22, 3, 17, 0, 4, 11)}
    found = list(vendor.read_all(path, asked))
    assert [one.key for one in found] == list(asked.values())
    for row, one in zip(asked, found, strict=True):
        assert isinstance(one, Recording)
        assert np.array_equal(one.counts, ecgs(23)[int(row)])


@pytest.mark.parametrize("layout", ["lists of lists", "bytes", "fixed lists of fixed lists", "one list"])
@every_format
def test_flipped_bytes_of_each_layout_end_in_a_reason_or_a_recording(name: str, layout: str, tmp_path: Path) -> None:
    columns, fields = LAYOUTS[layout]
    path = tmp_path / f"ecgs.{name}"
    write(path, pa.table(columns | {"exam": list("abcde")}))
    whole = path.read_bytes()
    draw = np.random.default_rng(6)
    for _ in range(int(os.environ.get("HEMOMETRIC_MUTATIONS", "40"))):
        content = bytearray(whole)
        for _ in range(int(draw.integers(1, 9))):
            content[-int(draw.integers(1, min(3000, len(content))))] = draw.integers(256)
        path.write_bytes(bytes(content))
        assert reasons(read_file(path, id="exam", **fields)), "each file is accounted for"


@pytest.mark.parametrize(
    "fields",
    [
        {"rate_hz": None},
        {"rate": "hz"},
        {"signal": "ecg", "lead_columns": ("a",) * 12},
        {"lead_columns": ("a",)},
        {"axes": ("lead", "lead")},
        {"leads": ("x",)},
        {"sexes": {"1": "woman"}},
    ],
)
def test_configs_that_cannot_be_meant(fields: dict) -> None:
    with pytest.raises(ValidationError):
        ColumnarConfig(**{"unit": "uV", "rate_hz": 500} | fields)
