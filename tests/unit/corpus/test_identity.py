"""Ids that are spelt in several ways, or differ by site, are one person where the rules and the link file say so."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from hemometric.config import essence, fingerprint
from hemometric.corpus import ColumnsTable, IngestConfig, Key, LabelSpec, open_corpus, verify
from hemometric.corpus.identity import Identity, IdRules
from hemometric.corpus.measurements import ColumnLabel, Pair, WideTable
from hemometric.errors import DataRejectedError, UsageError


@pytest.mark.parametrize(
    ("rules", "spellings"),
    [
        (IdRules(), ["123", " 123 ", "123\u00a0", "\uff11\uff12\uff13"]),
        (IdRules(), ["p1", "p1\u200b", "p\u00ad1", "\ufeffp1", "\u200ep1 \u200b"]),
        (IdRules(with_site=True), ["north/7", "no\u00adrth/7", "north \u200b/ 7\u200b"]),
        (IdRules(leading_zeros="strip"), ["00123", "123 ", "0123"]),
        (IdRules(case="fold", remove="mrn-", leading_zeros="strip"), ["MRN-0015709", "mrn0015709", "15709"]),
        (IdRules(remove="-. ", case="fold"), ["AB-12.3", "ab123", "a b 12 3"]),
        (IdRules(remove="PT-", case="fold"), ["PT-123", "pt-123", "Pt123", "1-2-3", "t123P"]),
        (IdRules(remove="pt-", case="fold"), ["PT-123", "pt-123", "123"]),
        (IdRules(with_site=True, leading_zeros="strip"), ["north/0012", " north / 12", "north/012 "]),
    ],
)
def test_spellings_of_one_person(rules: IdRules, spellings: list[str]) -> None:
    key = Key(b"k" * 32, rules=rules)
    assert len({key.patient(spelling) for spelling in spellings}) == 1
    assert Key(b"k" * 32).patient(spellings[0]) == Key(b"k" * 32).patient(spellings[0] + " ")


def test_what_the_rules_keep_apart() -> None:
    assert IdRules().normal("00123") != IdRules().normal("123")
    assert IdRules().normal("ab") != IdRules().normal("AB")
    assert [IdRules(remove="PT-").normal(text) for text in ("PT-1", "pt-1")] == ["1", "pt1"]
    assert IdRules(leading_zeros="strip").normal("000") == "0"
    assert IdRules(with_site=True).normal("a/1") != IdRules(with_site=True).normal("b/1")
    assert IdRules(with_site=True).normal("a/ ") == IdRules(remove="-").normal("--") == IdRules().normal(None) == ""
    with pytest.raises(ValidationError, match="no regular expression"):
        IdRules(pattern="(")


@pytest.mark.parametrize("text", ["unknown", "UNKNOWN ", "-", "n/a", "None", "Anonymous", "xxx", "?", "NaN", " ", ""])
def test_an_id_that_says_that_there_is_none_is_nobody_s(text: str) -> None:
    assert IdRules().is_nobody(text)
    assert IdRules(with_site=True).is_nobody(text)
    assert IdRules(with_site=True).names_nobody(f"north/{text}")
    assert not IdRules().is_nobody(f"{text}7")


@pytest.mark.parametrize(
    ("rules", "texts"),
    [
        (IdRules(), ["unknown\u200b", "unknown?", "<none>", "\u2013", "-- --", "\u200b", "NaN\ufeff"]),
        (IdRules(remove="- ."), ["n-a", "n/a-", "u n k", "un-known", "anon.", "no-id", "no.ne", "N-O-N-E"]),
        (IdRules(leading_zeros="strip", nobody=("0000",)), ["0", "000", "0000000"]),
    ],
)
def test_nobody_is_looked_for_before_the_rules_and_after_them(rules: IdRules, texts: list[str]) -> None:
    assert [text for text in texts if not rules.is_nobody(text)] == []
    assert not any(rules.is_nobody(text) for text in ("7", "p.1", "no-1", "9999", "unknown 7"))


def test_who_is_nobody_can_be_said() -> None:
    own = IdRules(nobody=("Test Patient", "9999"))
    assert [own.is_nobody(text) for text in ("test patient", "9999", "unknown", "", "NaN")] == [
        True,
        True,
        False,
        True,
        True,
    ]
    assert IdRules(remove="- ").is_nobody("- - -"), "the rules leave nothing of it"
    assert fingerprint(IdRules(nobody=("9999",))) != fingerprint(IdRules())


def test_configs_from_before_keep_their_fingerprint() -> None:
    assert "nobody" not in essence(IdRules())
    assert fingerprint(IdRules()) == "e668ae927a99b86c"


@pytest.fixture
def archive(tmp_path: Path, write_record) -> Path:
    """Eight recordings of four ids at two sites, and what the table says of them."""
    lines = ["record,mrn,site"]
    for number, (patient, site) in enumerate(
        [("0007", "n"), ("7", "n"), ("8", "n"), ("x-9", "n"), ("7", "s"), ("8", "s"), ("m?", "s"), ("11", "s")]
    ):
        write_record(tmp_path / "archive", f"r{number}", seed=number)
        lines.append(f"r{number},{patient},{site}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "archive"


def config_for(archive: Path, identity: Identity, **fields: object) -> IngestConfig:
    table = ColumnsTable(path=archive.parent / "labels.csv", record="record", patient="mrn", site="site")
    return IngestConfig(**{"table": table, "identity": identity, "max_rejected_fraction": 0.2, **fields})  # type: ignore[arg-type]


def patients(out: Path, key: Key) -> list[str | None]:
    rows = open_corpus(out).table(columns=["recording_id", "patient"]).to_pylist()
    found = {row["recording_id"]: row["patient"] for row in rows}
    return [found.get(key.recording_id(f"archive/r{number}")) for number in range(8)]


def test_rules_in_an_ingest(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    rules = IdRules(leading_zeros="strip", pattern=r"\d+", remove="x-")
    manifest = ingest(config_for(archive, Identity(rules=rules)), [archive], tmp_path / "out", key)
    assert manifest.counts.rejected == {"bad_patient_id": 1}
    one, same, eight, nine, seven, again, refused, eleven = patients(tmp_path / "out", key)
    assert one == same == seven
    assert eight == again
    assert refused is None
    assert len({one, eight, nine, eleven}) == 4
    strict = config_for(archive, Identity(rules=rules), max_rejected_fraction=0)
    with pytest.raises(DataRejectedError, match="bad_patient_id 1"):
        ingest(strict, [archive], tmp_path / "strict", key)


@pytest.mark.parametrize(("case", "words"), [("fold", " and in small letters,"), ("keep", "patient's id is not")])
def test_a_pattern_that_letters_cannot_fit_is_explained(
    archive: Path, tmp_path: Path, ingest, key: Key, case: str, words: str
) -> None:
    """A pattern is matched after the other rules: with `case: fold` one in capitals refuses every letter."""
    rules = IdRules(case=case, pattern=r"X-\d+|m\?|\d+|[A-Z]+")  # type: ignore[arg-type]
    config = config_for(archive, Identity(rules=rules), max_rejected_fraction=0.9)
    ingest(config, [archive], tmp_path / "out", key)
    rows = open_corpus(tmp_path / "out").quarantine().to_pylist()
    details = [row["detail"] for row in rows if row["reason"] == "bad_patient_id"]
    assert details
    assert all(words in detail for detail in details)


def test_those_without_an_id_are_no_patient_together(
    archive: Path, tmp_path: Path, write_record, ingest, key: Key
) -> None:
    """From a table and from the files alike; measurements and links of nobody say nothing either."""
    table = archive.parent / "labels.csv"
    table.write_text(table.read_text().replace(",7,n", ",unknown,n").replace("x-9", "N/A").replace("m?", "--"))
    (tmp_path / "same.csv").write_text("id,same_as\n8,unknown\nUNKNOWN,11\n")
    (tmp_path / "wedge.csv").write_text("who,at,wedge\nunknown,2020-01-01 10:00,12\n8,2020-01-01 10:00,14\n")
    wedge = WideTable(
        path=tmp_path / "wedge.csv",
        patient="who",
        time="at",
        labels={"wedge": ColumnLabel(column="wedge", unit="mmHg")},
        pair=Pair(before_h=1, after_h=1),
    )
    config = config_for(archive, Identity(same=tmp_path / "same.csv"), max_rejected_fraction=0.5, measurements=(wedge,))
    manifest = ingest(config, [archive], tmp_path / "out", key)
    assert manifest.counts.rejected == {"missing_patient": 3}
    assert {fate: num for fate, num in manifest.counts.measurements["wedge"].items() if num} == {
        "used": 1,
        "no_patient": 1,
    }
    found = patients(tmp_path / "out", key)
    assert [one is None for one in found] == [False, True, False, True, False, False, True, False]
    assert found[2] != found[7], "a link over nobody would make one person of all"


def test_numbers_of_two_sites_are_two_people(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    rules = IdRules(leading_zeros="strip", with_site=True)
    ingest(config_for(archive, Identity(rules=rules)), [archive], tmp_path / "out", key)
    found = patients(tmp_path / "out", key)
    assert found[0] == found[1] != found[4]
    assert found[2] != found[5]


def test_a_link_file_joins_and_one_that_grows_moves_nobody(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    links = tmp_path / "links.csv"
    links.write_text("id,same_as\n0007,7\n")
    identity = Identity(same=links)
    first = ingest(config_for(archive, identity), [archive], tmp_path / "out", key)
    found = patients(tmp_path / "out", key)
    assert found[0] == found[1] == found[4]
    assert ingest(config_for(archive, identity), [archive], tmp_path / "out", key) == first, "nothing new"
    corpus = open_corpus(tmp_path / "out")
    splits = {row["patient"]: row["split"] for row in corpus.table(columns=["patient", "split"]).to_pylist()}
    links.write_text("id,same_as\n0007,7\n7,8\n8,x-9\n9999,\n")
    second = ingest(config_for(archive, identity), [archive], tmp_path / "out", key)
    assert second == verify(tmp_path / "out")
    assert second.num_ingests == 2
    strictest = max((splits[name] for name in set(found[:4]) if name), key=("train", "validation", "test").index)
    rows = open_corpus(tmp_path / "out").table(columns=["patient", "split"]).to_pylist()
    assert {(row["patient"], row["split"]) for row in rows} == {
        (name, split) for name, split in splits.items() if split == strictest or name not in set(found[:6])
    }
    lost = sum(name in set(found[:6]) and splits[name] != strictest for name in found if name)
    assert second.counts.rejected == ({"linked_across_splits": lost} if lost else {})
    assert ingest(config_for(archive, identity), [archive], tmp_path / "out", key) == second


def test_a_link_file_that_is_none_is_said(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        ingest(config_for(archive, Identity(same=tmp_path / "no.csv")), [archive], tmp_path / "out", key)
    (tmp_path / "links.csv").write_text("id,sameas\n1,2\n")
    with pytest.raises(UsageError, match="did you mean 'sameas'"):
        ingest(config_for(archive, Identity(same=tmp_path / "links.csv")), [archive], tmp_path / "out", key)


def test_labels_follow_their_recording_and_not_its_patient(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    lines = (archive.parent / "labels.csv").read_text().splitlines()
    (archive.parent / "labels.csv").write_text("\n".join(f"{line},{n or 'wedge'}" for n, line in enumerate(lines)))
    table = ColumnsTable(
        path=archive.parent / "labels.csv", record="record", patient="mrn", labels={"w": LabelSpec(column="wedge")}
    )
    ingest(IngestConfig(table=table, identity=Identity(rules=IdRules(case="fold"))), [archive], tmp_path / "out", key)
    rows = open_corpus(tmp_path / "out").table(columns=["recording_id", "label.w"]).to_pylist()
    assert {row["recording_id"]: row["label.w"] for row in rows} == {
        key.recording_id(f"archive/r{number}"): number + 1 for number in range(8)
    }


def test_a_component_that_is_read_anew_stays_where_it_is(archive: Path, tmp_path: Path, ingest, key: Key) -> None:
    """Whatever changes of all recordings of linked patients: name, split and shift of times stay."""
    out, links = tmp_path / "out", tmp_path / "links.csv"
    table = archive.parent / "labels.csv"
    text = table.read_text()
    # Whoever comes first decides: try each of two patients as the first, the other is linked to it later.
    for first, second in (("8", "x-9"), ("x-9", "8")):
        out = tmp_path / f"out-{first}"
        links.write_text("id,same_as\n")
        table.write_text("\n".join(line for line in text.splitlines() if f",{second}," not in line) + "\n")
        config = config_for(archive, Identity(same=links), max_rejected_fraction=1)
        ingest(config, [archive], out, key)
        links.write_text("id,same_as\n8,x-9\n")
        table.write_text(text)
        ingest(config, [archive], out, key)
        columns = ["recording_id", "patient", "split", "partition"]
        before = {row["recording_id"]: row for row in open_corpus(out).table(columns=columns).to_pylist()}
        assert len({row["patient"] for row in before.values()}) == len(before) - 3
        table.write_text(text.replace(",n\n", ",north\n").replace(",s\n", ",south\n"))
        third = ingest(config, [archive], out, key)
        assert third == verify(out, key)
        assert {row["recording_id"]: row for row in open_corpus(out).table(columns=columns).to_pylist()} == before
