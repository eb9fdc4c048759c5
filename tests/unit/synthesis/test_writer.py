"""The cohort on disk: what wfdb itself reads and would have written, safe to write twice, never over other files."""

from __future__ import annotations

import csv
import hashlib
import warnings
from pathlib import Path

import numpy as np
import pytest

with warnings.catch_warnings():
    # wfdb itself calls pandas in a way that pandas 3 deprecates.
    warnings.simplefilter("ignore")
    import wfdb

from hemometric.ecg import LEADS
from hemometric.errors import UsageError
from hemometric.synthesis import SynthesisConfig, generate, write_cohort

CONFIG = SynthesisConfig(num_patients=5, visits_max=2, duration_s=4.0, seed=6)


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_wfdb_reads_what_was_generated(tmp_path: Path) -> None:
    labels = write_cohort(CONFIG, tmp_path / "cohort")
    with labels.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    visits = list(generate(CONFIG))
    assert [row["record"] for row in rows] == [visit.key for visit in visits]
    for row, visit in zip(rows, visits, strict=True):
        record = wfdb.rdrecord(str(labels.parent / row["record"]), physical=False)
        assert record.sig_name == list(LEADS)
        assert record.fs == 500
        assert record.fmt == ["16"] * 12
        assert record.adc_gain == [visit.gain_per_mv] * 12
        np.testing.assert_array_equal(record.d_signal.T, visit.counts)
        assert record.checksum == [int(c) for c in visit.counts.astype(np.int64).sum(axis=1) % 65536]
        physical = wfdb.rdrecord(str(labels.parent / row["record"])).p_signal.T
        assert np.abs(physical - visit.signal).max() <= 1.25 / visit.gain_per_mv + 1e-6
        assert record.comments[:2] == [f"Age: {visit.age_years:.0f}", f"Sex: {visit.sex.capitalize()}"]
        assert (row["patient_id"], row["visit"], row["sex"]) == (visit.patient_id, str(visit.visit), visit.sex)
        assert row["site"] == visit.site
        for column in ("mpcwp_mmhg", "mpap_mmhg", "co_l_min"):
            assert float(row[column]) == pytest.approx(getattr(visit, column), abs=6e-4)
        assert float(row["age_years"]) == visit.age_years
        for column in (name for name in row if name.startswith("truth_")):
            planted = getattr(visit.truth, column.removeprefix("truth_"))
            assert float(row[column]) == pytest.approx(planted, abs=6e-5)


# wfdb itself calls pandas in a way that pandas 3 deprecates.
@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
def test_bytes_are_those_of_wfdb_itself(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"num_patients": 2, "rate_hz": 257.5, "num_sites": 1})
    write_cohort(config, tmp_path / "ours")
    for visit in generate(config):
        ours = tmp_path / "ours" / f"{visit.key}.hea"
        (tmp_path / "theirs").mkdir(exist_ok=True)
        wfdb.wrsamp(
            ours.stem,
            fs=visit.rate_hz,
            units=["mV"] * 12,
            sig_name=list(LEADS),
            d_signal=visit.counts.T.astype(np.int64),
            fmt=["16"] * 12,
            adc_gain=[visit.gain_per_mv] * 12,
            baseline=[0] * 12,
            comments=[f"Age: {visit.age_years:.0f}", f"Sex: {visit.sex.capitalize()}", "Source: synthetic"],
            write_dir=str(tmp_path / "theirs"),
        )
        for suffix in (".hea", ".dat"):
            theirs = tmp_path / "theirs" / f"{ours.stem}{suffix}"
            assert ours.with_suffix(suffix).read_bytes() == theirs.read_bytes()


def test_twice_gives_the_same_bytes_and_elsewhere_too(tmp_path: Path) -> None:
    write_cohort(CONFIG, tmp_path / "a")
    once = _hashes(tmp_path / "a")
    write_cohort(CONFIG, tmp_path / "a")
    write_cohort(CONFIG, tmp_path / "b")
    assert _hashes(tmp_path / "a") == once == _hashes(tmp_path / "b")
    assert not any(name.startswith(".") or "partial" in name for name in once)


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    labels = write_cohort(CONFIG, tmp_path)
    whole = _hashes(tmp_path)
    records = sorted(tmp_path.rglob("*.hea"))
    labels.unlink()
    records[0].unlink()
    records[1].with_suffix(".dat").write_bytes(b"cut")
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / "labels.csv").write_text("half a li")
    kept = records[2].stat().st_mtime_ns
    write_cohort(CONFIG, tmp_path)
    assert _hashes(tmp_path) == whole
    assert records[2].stat().st_mtime_ns == kept


def test_a_folder_with_other_things_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        write_cohort(CONFIG, tmp_path)
    assert _hashes(tmp_path).keys() == {"thesis.txt"}


def test_another_cohort_is_refused_untouched(tmp_path: Path) -> None:
    write_cohort(CONFIG, tmp_path)
    before = _hashes(tmp_path)
    with pytest.raises(UsageError, match="another config"):
        write_cohort(CONFIG.model_copy(update={"seed": 7}), tmp_path)
    (tmp_path / "synthesis.json").write_text("{")
    with pytest.raises(UsageError, match="another config"):
        write_cohort(CONFIG, tmp_path)
    assert _hashes(tmp_path).keys() == before.keys()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "cohort"
    path.write_text("")
    with pytest.raises(UsageError, match="is a file"):
        write_cohort(CONFIG, path)
