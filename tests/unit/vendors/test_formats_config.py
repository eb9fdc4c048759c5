"""Which readers a config gives, from YAML to the process that reads."""

import json
from pathlib import Path

import numpy as np
import pytest

from hemometric.config import decode
from hemometric.corpus.ingest_config import IngestConfig
from hemometric.ecg import Recording
from hemometric.errors import UsageError
from hemometric.vendors import VENDORS, find
from hemometric.vendors.formats_config import FormatsConfig
from hemometric.vendors.guarded import GuardConfig, read_guarded
from hemometric.vendors.registry import FIELDS

EVERYTHING = {
    "formats": {
        "npy": {"rate_hz": 500, "unit": "mV", "axes": ["ecg", "lead", "sample"]},
        "csv": {"rate_hz": 250, "unit": "uV", "delimiter": ";"},
        "columnar": {"rate": "hz", "unit": "mV", "signal": "ecg", "sexes": {"1": "male"}},
        "hdf5": [{"signal": "data/ecg", "rate_hz": 500, "unit": "mV", "leads": ["I", "II"]}],
    }
}


def test_the_default_is_what_needs_no_config() -> None:
    built = FormatsConfig().build()
    assert [vendor.name for vendor in built] == [vendor.name for vendor in VENDORS]


@pytest.mark.parametrize(("unit", "meant"), [("uv", "uV"), ("MV", "mV"), ("v", "V"), ("furlong", "")])
def test_a_unit_in_other_capitals_is_proposed(unit: str, meant: str) -> None:
    with pytest.raises(UsageError) as told:
        decode(IngestConfig, EVERYTHING, [f"formats.csv.unit={unit}"])
    sentence = f"override: field 'formats.csv.unit': input should be 'mV', 'uV', 'nV' or 'V', found {unit!r}"
    assert str(told.value) == sentence + (f"; did you mean {meant!r}?" if meant else "")


def test_every_field_adds_its_readers() -> None:
    formats = decode(IngestConfig, EVERYTHING).formats
    names = [vendor.name for vendor in formats.build()]
    assert names == [*(vendor.name for vendor in VENDORS), "npy", "csv", "parquet", "arrow"]
    assert FormatsConfig.model_validate_json(formats.model_dump_json()) == formats


def test_what_a_missing_field_would_read_is_what_its_readers_take() -> None:
    formats = decode(IngestConfig, EVERYTHING).formats
    suffixes = {vendor.name: set(vendor.suffixes) for vendor in formats.build()}
    assert {field: set(taken) for field, taken in FIELDS.items()} == {
        "formats.npy": suffixes["npy"],
        "formats.csv": suffixes["csv"],
        "formats.columnar": suffixes["parquet"] | suffixes["arrow"],
    }


@pytest.mark.parametrize(
    ("names", "fields"),
    [
        (["a.npy"], ["formats.npy"]),
        (["b.CSV", "c.parquet", "notes.txt"], ["formats.csv", "formats.columnar"]),
        (["notes.txt"], []),
    ],
)
def test_a_folder_without_ecgs_names_the_field_that_might_read_it(
    names: list[str], fields: list[str], tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).write_text("no matter what")
    with pytest.raises(UsageError) as caught:
        find([tmp_path])
    assert [field for field in FIELDS if field in str(caught.value)] == fields
    with pytest.raises(UsageError) as caught:
        find([tmp_path / names[0]])
    assert ("in the config" in str(caught.value) or "the config has" in str(caught.value)) == bool(fields)


def test_a_mistyped_field_is_named() -> None:
    wrong = json.loads(json.dumps(EVERYTHING))
    wrong["formats"]["npy"]["unit"] = "millivolt"
    with pytest.raises(UsageError, match=r"formats\.npy\.unit"):
        decode(IngestConfig, wrong)


def test_the_reading_process_has_the_config(tmp_path: Path) -> None:
    signal = np.random.default_rng(1).uniform(-1, 1, (2, 12, 100))
    np.save(tmp_path / "a.npy", signal)
    formats = decode(IngestConfig, EVERYTHING).formats
    sources = list(find([tmp_path], formats.build()))
    found = list(read_guarded(sources, formats, GuardConfig()))
    assert len(found) == 2
    for one, expected in zip(found, signal, strict=True):
        assert isinstance(one, Recording), one
        assert np.abs(one.signal - expected).max() < 1e-4
