"""What inspect and verify say, and the page that they draw."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest

from hemometric.corpus import open_corpus
from hemometric.errors import IntegrityError, PrecheckError, UsageError
from hemometric.runs.inspect import inspect_corpus, verify_corpus
from hemometric.runs.words import counted


def test_inspect_says_what_the_corpus_holds(line: Any, tmp_path: Path) -> None:
    corpus = open_corpus(line.labelled)
    counts = corpus.manifest.counts
    lines = inspect_corpus(line.labelled, draw=None, out=tmp_path / "page.png")
    text = "\n".join(lines)
    assert (
        lines[0] == f"{counts.accepted} of {counts.found} recordings accepted, in {len(corpus.manifest.shards)} shards"
    )
    for name, split in counts.splits.items():
        assert f"{name} {split.recordings} of {split.patients} patients" in text
    assert f"labels: mpcwp_mmhg on {counts.labels['mpcwp_mmhg']}" in text
    assert f"rates: 100 Hz on {counts.accepted}" in text
    assert "duration: 10.0 to 10.0 s" in text
    assert "formats: wfdb" in text
    assert "quality flags: " in text
    assert corpus.hash[:16] in text
    assert not list(tmp_path.iterdir())


def test_inspect_draws_a_page(line: Any, tmp_path: Path) -> None:
    out = tmp_path / "page.png"
    lines = inspect_corpus(line.real, draw="first", out=out)
    assert lines[-1] == f"page: {out}"
    pixels = matplotlib.image.imread(out)
    assert pixels.shape[0] > 500
    assert pixels.shape[1] > 500
    assert pixels[..., :3].std() > 0.02, "something is drawn"
    other = tmp_path / "other.png"
    last = sorted(open_corpus(line.real).table(columns=["recording_id"])["recording_id"].to_pylist())[-1]
    inspect_corpus(line.real, draw=last, out=other)
    assert matplotlib.image.imread(other).shape == pixels.shape
    assert other.read_bytes() != out.read_bytes()


def test_what_cannot_be_drawn_is_one_sentence(line: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no recording 'nobody'; `hemometric inspect` lists some"):
        inspect_corpus(line.real, draw="nobody", out=tmp_path / "page.png")
    with pytest.raises(UsageError, match=r"page\.doc"):
        inspect_corpus(line.real, draw="first", out=tmp_path / "page.doc")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"out: .* cannot be written"):
        inspect_corpus(line.real, draw="first", out=tmp_path / "file" / "page.png")


def test_a_beginning_that_is_one_recording_s_is_enough(line: Any, tmp_path: Path) -> None:
    out, other = tmp_path / "page.png", tmp_path / "other.png"
    ids = sorted(open_corpus(line.real).table(columns=["recording_id"])["recording_id"].to_pylist())
    inspect_corpus(line.real, draw="first", out=out)
    inspect_corpus(line.real, draw=ids[0][:12], out=other)
    assert other.read_bytes() == out.read_bytes()
    shared = next(digit for digit in "0123456789abcdef" if sum(name[0] == digit for name in ids) > 1)
    with pytest.raises(UsageError, match=f"draw: [0-9]+ recording ids begin with '{shared}', such as {shared}"):
        inspect_corpus(line.real, draw=shared, out=out)
    with pytest.raises(UsageError, match="has no recording ''"):
        inspect_corpus(line.real, draw="", out=out)


def test_one_shard_is_no_shards() -> None:
    assert [counted(num, "shard") for num in (0, 1, 2)] == ["0 shards", "1 shard", "2 shards"]


def test_verify_says_that_all_is_whole_or_what_is_not(line: Any, tmp_path: Path) -> None:
    manifest = open_corpus(line.real).manifest
    (told,) = verify_corpus(line.real)
    assert told.startswith(
        f"{line.real}: whole; {manifest.counts.accepted} recordings in {len(manifest.shards)} shards"
    )
    shutil.copytree(line.real, tmp_path / "corpus")
    shard = tmp_path / "corpus" / manifest.shards[0].path
    content = bytearray(shard.read_bytes())
    content[50] ^= 1
    shard.write_bytes(content)
    with pytest.raises(IntegrityError, match=shard.name):
        verify_corpus(tmp_path / "corpus")


def test_a_full_disk_is_said_with_the_place(line: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PrecheckError, match=r"out: no room left to write in .*page\.png \(No space"):
        inspect_corpus(line.real, draw="first", out=tmp_path / "page.png")
    assert list(tmp_path.iterdir()) == []
