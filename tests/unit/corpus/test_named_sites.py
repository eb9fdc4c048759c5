"""A site that may be a slip is refused: it would send a test hospital into training, or make two people of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hemometric.config import fingerprint
from hemometric.corpus import (
    ColumnsTable,
    HashSplit,
    IngestConfig,
    Key,
    SiteSplit,
    SplitConfig,
    open_corpus,
    verify,
)
from hemometric.corpus.identity import Identity, IdRules
from hemometric.corpus.site_names import is_near
from hemometric.errors import UsageError
from hemometric.runs.ingest import IngestRun
from hemometric.runs.ingest_estimate import run as estimate


@pytest.fixture
def archive(tmp_path: Path, write_record: Any) -> Path:
    """A record of each of three sites, of which the table has more patients; a fourth stands in the table alone."""
    lines = ["record,mrn,site", *(f"m{n},q{n},{('north', 'south', 'east')[n % 3]}" for n in range(12))]
    for number, site in enumerate(("north", "south", "east", "nowhere")):
        if site != "nowhere":
            write_record(tmp_path / "archive" / site, f"r{number}", seed=number)
        lines.append(f"r{number},p{number},{site}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "archive"


def config_for(archive: Path, split: SplitConfig, site: str | None = "site") -> IngestConfig:
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


def refusal(archive: Path, out: Path, config: IngestConfig, ingest: Any, key: Key) -> str:
    with pytest.raises(UsageError) as caught:
        ingest(config, [archive], out, key)
    return str(caught.value)


def tell(archive: Path, *rows: str) -> None:
    """Add rows to the table."""
    table = archive.parent / "labels.csv"
    table.write_text(table.read_text() + "".join(f"{row}\n" for row in rows))


@pytest.mark.parametrize("site", ["East", "EAST", "Esat", "eas t", "east\u200b", "easst"])
def test_a_site_that_is_nearly_a_named_one_is_refused_in_every_ingest(
    archive: Path, tmp_path: Path, ingest: Any, key: Key, write_record: Any, site: str
) -> None:
    out = tmp_path / "out"
    config = config_for(archive, SiteSplit(validation=("south",), test=("east",)))
    tell(archive, f"not_here,p8,{site}")
    first = ingest(config, [archive], out, key)
    write_record(archive / "east", "late", seed=9)
    tell(archive, f"late,p9,{site}")
    told = (
        "ingest.split: table labels.csv: a site that no list names differs little from 'east', in row 18 below the "
        "header; write it so there, or list it in ingest.split.apart if it is another one"
    )
    assert refusal(archive, out, config, ingest, key) == told
    assert open_corpus(out).manifest == first, "nothing was added"
    assert refusal(archive, tmp_path / "new", config, ingest, key) == told
    apart = config_for(archive, SiteSplit(validation=("south",), test=("east",), apart=(site,)))
    assert ingest(apart, [archive], out, key).counts.splits["train"].recordings == 2


def test_an_addition_need_not_have_every_site(
    archive: Path, tmp_path: Path, ingest: Any, key: Key, write_record: Any
) -> None:
    out = tmp_path / "out"
    ingest(config_for(archive, SiteSplit(validation=("south",), test=("east",))), [archive], out, key)
    write_record(tmp_path / "more" / "west", "r9", seed=9)
    tell(archive, "r9,p9,west")
    more = config_for(archive, SiteSplit(validation=("south",), test=("east",)))
    assert ingest(more, [tmp_path / "more"], out, key).counts.splits["train"].recordings == 2


def test_a_refusal_says_no_patient_where_the_wrong_column_was_given(
    archive: Path, tmp_path: Path, ingest: Any, key: Key
) -> None:
    (archive.parent / "labels.csv").write_text("record,mrn,site\nr0,1,DOE^JOHN\nr1,2,DOE^JANE\nr2,3,ROE^RICHARD\n")
    told = refusal(
        archive, tmp_path / "out", config_for(archive, SiteSplit(validation=("Doe",), test=("Roe",))), ingest, key
    )
    assert told.startswith(
        "ingest.split: no ECG is of site 'Doe', 'Roe'; the sites here are 3 of fewer than 5 patients, "
    )
    assert "DOE" not in told
    assert "ROE" not in told


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (("r0,7,North", "r1,7,north", "r2,8,east"), "the site in row 2 below the header differs from the one in row 1"),
        (("r0,7,north", "r1,7,no rth", "r2,8,east"), "by capitals or blanks alone, so that a person of both would be"),
        (("r0,7,north/", "r1,7,south", "r2,8,east"), "a site has a slash, which parts site and id, in row 1 below the"),
        (("r0,7,", "r1,7,", "r2,8,"), "no ECG has a site; name its column as ingest.table.site"),
    ],
)
def test_one_person_of_one_site_is_not_made_two(
    archive: Path, tmp_path: Path, ingest: Any, key: Key, rows: tuple[str, ...], told: str
) -> None:
    (archive.parent / "labels.csv").write_text("record,mrn,site\n")
    tell(archive, *rows)
    split = HashSplit()
    config = config_for(archive, split).model_copy(update={"identity": Identity(rules=IdRules(with_site=True))})
    assert told in refusal(archive, tmp_path / "out", config, ingest, key)
    assert refusal(archive, tmp_path / "out", config, ingest, key).startswith("identity.rules.with_site: ")


def test_sites_of_an_addition_are_written_as_in_the_corpus(
    archive: Path, tmp_path: Path, ingest: Any, key: Key, write_record: Any
) -> None:
    """And an ECG with an id but without a site is refused: whose it is nobody can tell."""
    config = config_for(archive, HashSplit()).model_copy(
        update={"identity": Identity(rules=IdRules(with_site=True)), "max_rejected_fraction": 0.9}
    )
    ingest(config, [archive], tmp_path / "out", key)
    write_record(tmp_path / "more", "late", seed=9)
    (archive.parent / "labels.csv").write_text("record,mrn,site\nlate,p0,NORTH\n")
    told = refusal(tmp_path / "more", tmp_path / "out", config, ingest, key)
    assert "the site in row 1 below the header differs from one in the corpus" in told
    write_record(tmp_path / "more", "nowhere", seed=10)
    (archive.parent / "labels.csv").write_text("record,mrn,site\nlate,p0,north\nnowhere,p0,\n")
    manifest = ingest(config, [tmp_path / "more"], tmp_path / "out", key)
    assert manifest.counts.rejected == {"bad_patient_id": 1}
    assert manifest.counts.accepted == 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Nroth", "North"),
        ("sout", "south"),
        ("soutth", "south"),
        ("Site 01", "site 1"),
        ("NorthEast", "north-east"),
        ("St. Marys Hospital", "St Mary's Hospital"),
        ("Zurich", "Z\u00fcrich"),
        ("no\u00adrth", "north"),
    ],
)
def test_names_that_are_near(one: str, other: str) -> None:
    assert is_near(one, other)
    assert is_near(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("west", "east"),
        ("north", "south"),
        ("Site 1", "Site 2"),
        ("hospital_a", "hospital_b"),
        ("NE", "NW"),
        ("1", "10"),
        ("mayo", "mayo clinic"),
        ("-", "+"),
    ],
)
def test_names_that_are_not(one: str, other: str) -> None:
    assert not is_near(one, other)
    assert not is_near(other, one)


def test_what_comes_later_changes_no_fingerprint_and_is_named_by_a_split() -> None:
    plain = SiteSplit(validation=("v",), test=("t",))
    assert fingerprint(plain) == fingerprint(SiteSplit(validation=("v",), test=("t",), not_yet=("t",)))
    with pytest.raises(ValidationError, match="not_yet has site 'T', which no split names"):
        SiteSplit(validation=("v",), test=("t",), not_yet=("T",))
    assert fingerprint(plain) == fingerprint(SiteSplit(validation=("v",), test=("t",), apart=("T",)))
    with pytest.raises(ValidationError, match="apart has site 't', which a split names"):
        SiteSplit(validation=("v",), test=("t",), apart=("t",))
