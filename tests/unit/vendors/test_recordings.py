"""`hemometric.read`: what a person with files and Python begins with."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

import hemometric
from hemometric.errors import UsageError

ARCHIVE = Path(hemometric.__file__).parent / "demo" / "data" / "ptbxl" / "records500"


@pytest.mark.parametrize(("given", "kind"), [(123, "int"), (None, "NoneType"), (["a"], "list"), (b"a", "bytes")])
def test_what_is_no_path_is_one_sentence(given, kind):
    told = f"^what hemometric.read reads is given by its path, a str or a Path; this is of type {kind}$"
    with pytest.raises(TypeError, match=told):
        hemometric.read(given)


@pytest.fixture
def archive(tmp_path):
    """Three whole records in two folders, one damaged, and a file that is none."""
    found = sorted(ARCHIVE.rglob("*.hea"))[:4]
    for number, header in enumerate(found):
        for path in (header, header.with_suffix(".dat")):
            folder = tmp_path / "archive" / f"part-{number % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / path.name)
    (tmp_path / "archive" / "notes.txt").write_text("no ECG")
    signal = next((tmp_path / "archive" / "part-1").glob("*.dat"))
    signal.write_bytes(signal.read_bytes()[:-2])
    return tmp_path / "archive"


def test_a_file_is_one_recording(archive):
    header = sorted((archive / "part-0").glob("*.hea"))[0]
    (found,) = hemometric.read(header)
    assert found.signal.shape == (12, 5000)
    assert found.rate_hz == 500
    (same,) = hemometric.read(str(header))
    np.testing.assert_array_equal(found.signal, same.signal)


def test_a_folder_is_all_of_its_recordings_and_says_what_is_left_out(archive):
    with pytest.warns(UserWarning, match=r"1 of 4 ECGs in .*archive were left out: truncated 1") as told:
        found = hemometric.read(archive)
    assert [one.key for one in found] == sorted(one.key for one in found)
    assert len(found) == 3
    assert told[0].filename == __file__, "the warning names the caller's line"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(hemometric.read(archive / "part-0")) == 2


def test_what_cannot_be_read_at_all_is_one_sentence(archive, tmp_path):
    damaged = next(path for path in (archive / "part-1").glob("*.dat") if path.stat().st_size % 24)
    with pytest.raises(UsageError, match=rf"{damaged.stem}\.hea cannot be read \(truncated\): "):
        hemometric.read(damaged.with_suffix(".hea"))
    for path in sorted((archive / "part-1").iterdir()):
        if path.stem != damaged.stem:
            path.unlink()
    with pytest.raises(UsageError, match=r"none of the 1 ECGs in .*part-1 can be read: truncated 1"):
        hemometric.read(archive / "part-1")
    with pytest.raises(UsageError, match="does not exist"):
        hemometric.read(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is no ECG file that can be read"):
        hemometric.read(archive / "notes.txt")


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("address", ["http://user:pw@h/x", "s3://user:pw@bucket/x.hea", "HTTPS://user:pw@h"])
def test_an_address_is_refused_and_not_repeated(kind, address):
    with pytest.raises(UsageError, match="an address was given") as told:
        hemometric.read(kind(address))
    assert not any(part in str(told.value) for part in ("user", "pw@", "bucket"))
