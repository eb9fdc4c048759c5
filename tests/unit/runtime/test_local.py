"""A small corpus needs no cluster: starting one would take longer than the work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from hemometric.errors import UsageError
from hemometric.runs import embed as runs_embed
from hemometric.runs.shardwise import read_output
from hemometric.runtime import actors, embed


def test_few_recordings_are_embedded_here(
    line: Any, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def no_session(**_: object) -> None:
        raise UsageError("a session was opened")

    monkeypatch.setattr(actors, "session", no_session)
    monkeypatch.setattr(actors, "cluster_is_there", lambda: False)
    config = line.shardwise("embed", encoder, tmp_path / "few", local_below=5000)
    embed.run(config)
    plain = line.shardwise("embed", encoder, tmp_path / "plain", workers=0)
    runs_embed.run(plain)
    assert read_output(config.out).equals(read_output(plain.out))
    assert "ray" not in sys.modules or not sys.modules["ray"].is_initialized()

    many = line.shardwise("embed", encoder, tmp_path / "many", local_below=0)
    with pytest.raises(UsageError, match="a session was opened"):
        embed.run(many)
