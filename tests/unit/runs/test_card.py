"""The command that writes a data card, on corpora that an ingest has made."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import hemometric
from hemometric.cli import app, guarded
from hemometric.corpus import open_corpus
from hemometric.corpus.placement import ACROSS, DUPLICATE
from hemometric.errors import IntegrityError, PrecheckError, UsageError
from hemometric.evaluation.datacard.words import MEASURES, REASONS
from hemometric.runs.card import write_card
from hemometric.waveform.quality import QUALITY_COLUMNS


def test_the_command_writes_both_beside_the_corpus(line: Any, tmp_path: Path, capsys: Any) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(line.labelled, corpus)
    before = sorted(path.name for path in corpus.rglob("*"))
    assert guarded(lambda: app(args=["card", str(corpus), "--name", "My <corpus>"], standalone_mode=False)) == 0
    folder = tmp_path / "corpus-card"
    shown = capsys.readouterr().out
    assert shown == f"data card: {folder / 'card.html'}\nas text: {folder / 'card.md'}\n"
    assert sorted(path.name for path in folder.iterdir()) == ["card.html", "card.md"]
    assert sorted(path.name for path in corpus.rglob("*")) == before
    html, text = (folder / "card.html").read_text(), (folder / "card.md").read_text()
    assert "<title>Data card: My &lt;corpus&gt;</title>" in html
    assert text.startswith("# Data card: My \\<corpus\\>\n")
    counts = open_corpus(corpus).manifest.counts
    assert f"- **{counts.accepted}** ECGs (of {counts.found} found)" in text
    assert f"- **{counts.labels['mpcwp_mmhg']}** ECGs with mpcwp\\_mmhg" in text
    assert re.search(rf"\| train \| {counts.splits['train'].recordings} \| ", text)
    for shards in ("train", "validation", "test"):
        for patient in open_corpus(corpus).table([shards], ["patient"])["patient"].to_pylist():
            assert patient not in html + text
    assert str(tmp_path) not in html + text


def test_the_page_loads_nothing_and_the_same_corpus_gives_the_same_bytes(line: Any, tmp_path: Path) -> None:
    write_card(line.real, out=tmp_path / "one")
    write_card(line.real, out=tmp_path / "two")
    for name in ("card.html", "card.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    html = (tmp_path / "one" / "card.html").read_text()
    assert not re.search(r"https?:|//[a-z]|@import|<script|<link|<iframe|javascript:|\son[a-z]+=", html, re.IGNORECASE)


def test_people_answer_in_a_file(line: Any, tmp_path: Path) -> None:
    answers = tmp_path / "answers.yaml"
    answers.write_text("consent: |\n  The ethics committee.\n\n  And <i>patients</i>.\nlicence: None yet.\n")
    write_card(line.real, out=tmp_path / "card", answers=answers)
    html = (tmp_path / "card" / "card.html").read_text()
    assert "<p>The ethics committee.</p>" in html
    assert "<p>And &lt;i&gt;patients&lt;/i&gt;.</p>" in html
    answers.write_text("licens: CC BY\n")
    with pytest.raises(UsageError, match=r"answers\.yaml, line 1: .*licens.*licence"):
        write_card(line.real, out=tmp_path / "other", answers=answers)
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_is_one_sentence(line: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(line.real, corpus)
    for inside in (corpus, corpus / "card", tmp_path / "x" / ".." / "corpus"):
        with pytest.raises(UsageError, match="lies in the corpus, which must hold nothing else"):
            write_card(corpus, out=inside)
    with pytest.raises(UsageError, match="smallest-cell: -1 is below 0"):
        write_card(corpus, least=-1)
    with pytest.raises(UsageError, match="does not exist; make one with"):
        write_card(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"out: .* cannot be written"):
        write_card(corpus, out=tmp_path / "file" / "card")
    shard = corpus / open_corpus(corpus).manifest.shards[0].path
    content = shard.read_bytes()
    shard.write_bytes(content[:-10])
    with pytest.raises(IntegrityError, match=shard.name):
        write_card(corpus)
    shard.write_bytes(content)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PrecheckError, match=r"out: no room left to write in .*corpus-card"):
        write_card(corpus)
    assert list((tmp_path / "corpus-card").iterdir()) == []


def test_every_reason_that_the_code_gives_has_a_meaning() -> None:
    places = {"ReadError": 0, "_GateError": 0, "_Death": 0, "Rejected": 1}
    found = {DUPLICATE, ACROSS}
    for path in Path(hemometric.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            place = places.get(getattr(node.func, "id", ""))
            if place is not None and len(node.args) > place:
                texts = (part.value for part in ast.walk(node.args[place]) if isinstance(part, ast.Constant))
                found |= {text for text in texts if isinstance(text, str)}
    assert len(found) > 35
    assert found - set(REASONS) == set(), "say in evaluation/datacard/words.py what these mean"


def test_every_measure_has_words() -> None:
    assert set(QUALITY_COLUMNS) == set(MEASURES)
