"""Keys: made once, private, refused when open or short; names: keyed, stable, apart."""

import hashlib
import hmac
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hemometric.corpus import Key, default_key_path, load_or_create_key
from hemometric.errors import PrivacyError, UsageError

SECRET = b"s" * 40


def key_file(folder: Path, content: bytes = SECRET, mode: int = 0o600) -> Path:
    path = folder / "some.key"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_names_are_hmac_sha256_of_purpose_and_text() -> None:
    key = Key(SECRET)
    for name, purpose, text in (
        (key.recording_id("a/b"), "recording", "a/b"),
        (key.patient(" 00123 "), "patient", "00123"),
    ):
        assert name == hmac.new(SECRET, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()[:32]
    assert len({key.recording_id("x"), key.patient("x"), key.patient_of("x")}) == 3
    assert key.recording_id("x") != Key(b"t" * 40).recording_id("x")
    assert key.key_id != Key(b"t" * 40).key_id


def test_patient_ids_keep_their_zeros_and_lose_their_spaces() -> None:
    key = Key(SECRET)
    assert key.patient("00123") == key.patient(" 00123\t") == key.patient("\uff10\uff10123")
    assert key.patient("00123") != key.patient("123")


def test_buckets_are_even_and_those_of_two_sizes_independent() -> None:
    key = Key(SECRET)
    patients = [key.patient(str(number)) for number in range(20_000)]
    bins = np.array([key.bucket(patient, 100) for patient in patients])
    partitions = np.array([key.bucket(patient, 64) for patient in patients])
    assert np.bincount(bins, minlength=100).min() > 130  # 200 expected, standard deviation 14
    table = np.histogram2d(bins % 4, partitions % 4, bins=4)[0]
    assert abs(table / 1250 - 1).max() < 0.15  # a shared remainder would leave all off the diagonal empty


def test_the_secret_is_in_no_repr() -> None:
    key = Key(b"canary-canary-canary-canary-canary")
    assert "canary" not in f"{key!r} {key} {key.key_id}"


def test_reads_a_given_file_without_its_line_end(tmp_path: Path) -> None:
    key = load_or_create_key(key_file(tmp_path, SECRET + b"\n"))
    assert key.secret == SECRET
    assert key.path == tmp_path / "some.key"
    assert not key.created


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o666])
def test_refuses_a_file_that_everyone_can_open(tmp_path: Path, mode: int) -> None:
    with pytest.raises(PrivacyError, match="chmod 600"):
        load_or_create_key(key_file(tmp_path, mode=mode))


@pytest.mark.parametrize("content", [b"", b"brief", b" " * 100, b"x" * 31])
def test_refuses_a_short_key_without_printing_it(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(PrivacyError, match="at least 32") as caught:
        load_or_create_key(key_file(tmp_path, content))
    assert not content.strip() or content.decode() not in str(caught.value)


def test_a_given_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_or_create_key(tmp_path / "nothing")
    with pytest.raises(UsageError):
        load_or_create_key(tmp_path)


def test_makes_a_private_key_once_in_the_users_config_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    first = load_or_create_key()
    assert first.created
    assert first.path == default_key_path()
    assert first.path.is_relative_to(tmp_path)
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    second = load_or_create_key()
    assert not second.created
    assert second.secret == first.secret
    assert len(first.secret) == 64
    assert [path.name for path in first.path.parent.iterdir()] == [first.path.name]


def test_many_that_make_it_at_once_get_the_same_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: load_or_create_key(), range(8)))
    assert len({key.secret for key in keys}) == 1


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="--key FILE"):
        load_or_create_key()
