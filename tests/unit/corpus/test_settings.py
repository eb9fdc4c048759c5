"""A corpus refuses another config by naming the fields that differ; what it does not know it does not guess."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from hemometric.corpus import FoldSplit, HashSplit, IngestConfig, Key, open_corpus, verify
from hemometric.corpus.identity import Identity, IdRules
from hemometric.corpus.ptbxl_table import PtbxlTable
from hemometric.corpus.settings import SETTINGS, differences, keep_settings, settled
from hemometric.errors import UsageError
from hemometric.runs.merge import MergeRun, run
from hemometric.vendors.guarded import GuardConfig
from hemometric.waveform import QualityConfig

PLAIN = IngestConfig(quality=QualityConfig(min_duration_s=5), pseudonyms="random")


@pytest.mark.parametrize(
    ("here", "told"),
    [
        ({"quality": QualityConfig(min_duration_s=4)}, "ingest.quality.min_duration_s: 5.0 there, 4.0 here"),
        ({"pseudonyms": "keyed"}, "ingest.pseudonyms: random there, keyed here"),
        ({"split": FoldSplit()}, "ingest.split.kind: hash there, folds here"),
        (
            {"split": HashSplit(train=0.7, validation=0.1), "find_duplicates": False},
            "ingest.find_duplicates: true there, false here; ingest.split.train: 0.6 there, 0.7 here; "  # noqa: ISC004
            "ingest.split.validation: 0.2 there, 0.1 here",
        ),
        (
            {"identity": Identity(rules=IdRules(nobody=("0",), pattern="x"))},
            'ingest.identity.rules.nobody: the default there, ["0"] here; '  # noqa: ISC004
            "ingest.identity.rules.pattern: null there, x here",
        ),
        ({}, ""),
        ({"guard": GuardConfig(cpu_s=99), "max_rejected_fraction": 0.9}, ""),
    ],
)
def test_fields_that_differ_are_named_with_both_values(tmp_path: Path, here: dict[str, Any], told: str) -> None:
    keep_settings(tmp_path, PLAIN)
    assert differences(tmp_path, settled(PLAIN), PLAIN.model_copy(update=here)) == told


def test_many_fields_and_long_values_are_cut(tmp_path: Path) -> None:
    keep_settings(tmp_path, PLAIN)
    fields = {name: value * 0.9 for name, value in QualityConfig() if type(value) is float}
    told = differences(tmp_path, settled(PLAIN), PLAIN.model_copy(update={"quality": QualityConfig(**fields)}))
    assert told.endswith(f"and {len(fields) - 5} more fields")
    rules = Identity(rules=IdRules(pattern="x" * 999))
    assert len(differences(tmp_path, settled(PLAIN), PLAIN.model_copy(update={"identity": rules}))) < 150


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b"\xff", b'{"pseudonyms": "keyed"}'])
def test_what_is_not_of_the_corpus_is_passed_over(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / SETTINGS).write_bytes(content)
    assert differences(tmp_path, settled(PLAIN), IngestConfig()) == ""


def test_a_corpus_names_them(
    corpus_path: Path, tmp_path: Path, bundled: Path, ingest: Any, key: Key, small_steps: IngestConfig
) -> None:
    other = small_steps.model_copy(update={"quality": QualityConfig(min_duration_s=3), "patients": "given"})
    here = settled(small_steps)
    assert open_corpus(corpus_path).manifest.ingest_config == here
    with pytest.raises(
        UsageError, match=r"another config \(ingest\.quality\.min_duration_s: .* there, 3\.0 here\); ch"
    ):
        ingest(other, [bundled], corpus_path, key)
    (corpus_path / SETTINGS).unlink()
    with pytest.raises(UsageError, match=r"made with another config; choose another --out$"):
        ingest(other, [bundled], corpus_path, key)
    ingest(small_steps, [bundled], corpus_path, key)
    assert differences(corpus_path, here, other), "one that had none gets them at its next ingest"
    verify(corpus_path)


def test_they_hold_no_path_and_go_along_with_a_merge(corpus_path: Path, tmp_path: Path, key: Key) -> None:
    shutil.copytree(corpus_path, tmp_path / "copy")
    run(MergeRun(corpora=(corpus_path, tmp_path / "copy"), out=tmp_path / "merged", key=key.path))
    assert (tmp_path / "merged" / SETTINGS).read_bytes() == (corpus_path / SETTINGS).read_bytes()
    config = IngestConfig(table=PtbxlTable(path=Path("/archive/of/miller.csv")))
    keep_settings(tmp_path, config)
    assert "miller" not in (tmp_path / SETTINGS).read_text()
