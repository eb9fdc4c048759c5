"""Keyed names: HMAC-SHA256 turns what a hospital calls a patient or a record into what a corpus may call it.

Without the key file nobody can go back, or test a guess; with it the same patient gets the same name in each corpus.
"""

from __future__ import annotations

import hmac
import os
import stat
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import platformdirs

from hemometric.corpus.identity import IdRules
from hemometric.errors import PrivacyError, UsageError

MIN_KEY_BYTES = 32
_NAME_DIGITS = 32
_SHIFT_DAYS = (365, 3287)  # at least, and how many choices


@dataclass(frozen=True)
class Key:
    """A pseudonym key; its secret never appears in its `repr`.

    Attributes
    ----------
    path : Path or None
        The file it lies in.
    created : bool
        Whether `load_or_create_key` has just made that file: then its place must be said.
    rules : IdRules
        How ids of patients are spelt before they become names.
    aliases : mapping
        From a name to the one of the same person that is used instead.
    """

    secret: bytes = field(repr=False)
    path: Path | None = None
    created: bool = False
    rules: IdRules = field(default_factory=IdRules)
    aliases: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def key_id(self) -> str:
        """Twelve hex digits that tell two keys apart and say nothing else about them."""
        return self._name("key id", "", 12)

    def recording_id(self, source_key: str) -> str:
        """Name a recording: 32 hex digits, the same for the same source key."""
        return self._name("recording", source_key, _NAME_DIGITS)

    def patient(self, patient_id: str) -> str:
        """Name a patient: 32 hex digits, the same for all spellings that the rules make alike."""
        name = self._name("patient", self.rules.normal(patient_id), _NAME_DIGITS)
        return self.aliases.get(name, name)

    def patient_of(self, source_key: str) -> str:
        """Name the patient of a recording that stands for a patient of its own."""
        return self._name("patient of recording", source_key, _NAME_DIGITS)

    def bucket(self, patient: str, num_buckets: int) -> int:
        """Put a patient's pseudonym into one of `num_buckets`, for ever; two numbers of buckets are independent."""
        digest = hmac.digest(self.secret, f"bucket of {num_buckets}\0{patient}".encode(), "sha256")
        return int.from_bytes(digest[:8], "big") % num_buckets

    def date_shift(self, patient: str) -> timedelta:
        """Give the whole days, one to ten years back, by which all times of a patient's pseudonym are moved.

        Intervals between a patient's own times hold, and the time of day does.
        """
        digest = hmac.digest(self.secret, f"date shift\0{patient}".encode(), "sha256")
        return timedelta(days=-_SHIFT_DAYS[0] - int.from_bytes(digest[:8], "big") % _SHIFT_DAYS[1])

    def digest(self, purpose: str, content: bytes) -> str:
        """Hash content so that only the holder of the key could test a guess of it; 64 hex digits."""
        return hmac.digest(self.secret, purpose.encode() + b"\0" + content, "sha256").hex()

    def _name(self, purpose: str, text: str, num_digits: int) -> str:
        return hmac.digest(self.secret, f"{purpose}\0{text}".encode(), "sha256").hex()[:num_digits]


def default_key_path() -> Path:
    """Say where the key lies when no file is given: the user's own config folder."""
    return platformdirs.user_config_path("hemometric") / "pseudonym.key"


def load_or_create_key(path: Path | None = None) -> Key:
    """Read the key file, or make one in the user's config folder when none is given and none is there.

    Raises
    ------
    UsageError
        The given file does not exist or cannot be read.
    PrivacyError
        Everyone on the machine can read it, or it is shorter than 32 bytes.
    """
    place = path or default_key_path()
    if path is None and not place.exists():
        return _create(place)
    if not place.is_file():
        raise UsageError(f"key file {place} does not exist; give an existing one, or leave --key out to have one made")
    return Key(_secret(place), place)


def _secret(place: Path) -> bytes:
    try:
        mode = place.stat().st_mode
        secret = place.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"key file {place} cannot be read: {error.strerror}") from None
    if mode & stat.S_IRWXO:
        raise PrivacyError(f"key file {place} is open to everyone on this machine; run `chmod 600 {place}` first")
    if len(secret) < MIN_KEY_BYTES:
        raise PrivacyError(
            f"key file {place} holds {len(secret)} bytes and a key needs at least {MIN_KEY_BYTES}; "
            f"`openssl rand -hex 32` makes a good one"
        )
    return secret


def _create(place: Path) -> Key:
    secret = os.urandom(32).hex().encode()
    temporary = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, secret + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
        try:
            # A link, unlike a rename, fails where another process was quicker: no key is ever written over.
            place.hardlink_to(temporary)
        except FileExistsError:
            return Key(_secret(place), place)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"no key can be made at {place} ({error.strerror}); give one with --key FILE") from None
    return Key(secret, place, created=True)
