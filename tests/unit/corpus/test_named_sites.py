"""A site that a split names and no ECG has is refused: a typo would send a test hospital into training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hemometric.config import fingerprint
from hemometric.corpus import ColumnsTable, IngestConfig, Key, SiteSplit, open_corpus, verify
from hemometric.errors import UsageError
from hemometric.runs.ingest import IngestRun
from hemometric.runs.ingest_estimate import run as estimate


@pytest.fixture
def archive(tmp_path: Path, write_record: Any) -> Path:
    """A record of each of three sites; a fourth stands in the table alone."""
    lines = ["record,mrn,site"]
    for number, site in enumerate(("north", "south", "east", "nowhere")):
        if site != "nowhere":
            write_record(tmp_path / "archive" / site, f"r{number}", seed=number)
        lines.append(f"r{number},p{number},{site}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "archive"


def config_for(archive: Path, split: SiteSplit, site: str | None = "site") -> IngestConfig:
    table = ColumnsTable(path=archive.parent / "labels.csv", record="record", patient="mrn", site=site)
    return IngestConfig(table=table, split=split)


@pytest.mark.parametrize(
    ("split", "told"),
    [
        (
            SiteSplit(validation=("south",), test=("eats",)),
            "ingest.split: no ECG is of site 'eats'; did you mean 'east'? The sites here are 'east', 'north', "  # noqa: ISC004
            "'south'; list those that come later in ingest.split.not_yet",
        ),
        (SiteSplit(validation=("nowhere",), test=("east",)), "no ECG is of site 'nowhere'; the sites here are"),
        (SiteSplit(train=("west",), validation=("south",), test=("east",)), "no ECG is of site 'west'; did you"),
        (SiteSplit(validation=("South",), test=("q", "east"), not_yet=("q",)), "no ECG is of site 'South'; did you"),
    ],
)
def test_a_site_that_no_ecg_has_is_refused(
    archive: Path, tmp_path: Path, ingest: Any, key: Key, split: SiteSplit, told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        ingest(config_for(archive, split), [archive], tmp_path / "out", key)
    assert told in str(caught.value)
    assert not (tmp_path / "out").exists(), "nothing is read, and nothing is left"
    run = IngestRun(sources=(archive,), out=tmp_path / "out", key=key.path, ingest=config_for(archive, split))
    with pytest.raises(UsageError, match="no ECG is of site"):
        estimate(run)


def test_no_site_at_all_says_where_they_would_stand(archive: Path, tmp_path: Path, ingest: Any, key: Key) -> None:
    config = config_for(archive, SiteSplit(validation=("south",), test=("east",)), site=None)
    with pytest.raises(UsageError, match=r"no ECG has a site; name its column as ingest\.table\.site"):
        ingest(config, [archive], tmp_path / "out", key)


def test_sites_that_come_later_are_said_to(archive: Path, tmp_path: Path, ingest: Any, key: Key) -> None:
    out = tmp_path / "out"
    later = config_for(archive, SiteSplit(validation=("south",), test=("east",), not_yet=("south", "east")))
    ingest(later, [archive / "north"], out, key)
    plain = config_for(archive, SiteSplit(validation=("south",), test=("east",)))
    manifest = ingest(plain, [archive], out, key)
    assert manifest.num_ingests == 2, "a corpus that is there is not asked again, and knows the config as its own"
    assert {name: one.recordings for name, one in manifest.counts.splits.items()} == dict.fromkeys(
        ("train", "validation", "test"), 1
    )
    assert "not_yet" not in (out / "manifest.json").read_text()
    assert verify(out) == open_corpus(out).manifest


def test_what_comes_later_changes_no_fingerprint_and_is_named_by_a_split() -> None:
    plain = SiteSplit(validation=("v",), test=("t",))
    assert fingerprint(plain) == fingerprint(SiteSplit(validation=("v",), test=("t",), not_yet=("t",)))
    with pytest.raises(ValidationError, match="not_yet has site 'T', which no split names"):
        SiteSplit(validation=("v",), test=("t",), not_yet=("T",))
