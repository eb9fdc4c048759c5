"""A letter of a worker arrives once; a strange one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from hemometric.errors import DataRejectedError, IntegrityError
from hemometric.runtime.mailbox import Mailbox

NO_KINDS = (b'{"kind": "Path", "sentence": "x"}', b'{"kind": "UsageError"}', b'{"kind": 3, "sentence": "x"}')
STRANGE = (b"", b"{", b"[1]", b"{}", b"\xff", b"[" * 100_000, *NO_KINDS)


@pytest.mark.parametrize("content", STRANGE, ids=lambda content: repr(content[:30]))
def test_a_strange_letter_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "failed.json").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"failed\.json is missing or damaged"):
        Mailbox(tmp_path).open()


def test_a_letter_arrives_once(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path)
    mailbox.tell_failure(DataRejectedError("too few"))
    assert mailbox.stop_asked()
    found = mailbox.open()
    assert isinstance(found, DataRejectedError)
    assert str(found) == "too few"
    assert mailbox.open() is None
