"""Rows of a link file are counted by what they came to in the corpus."""

from pathlib import Path

import pytest

from hemometric.corpus import (
    ColumnsTable,
    IngestConfig,
    Key,
    ingest_lock,
    load_or_create_key,
    open_corpus,
    prepare_ingest,
)
from hemometric.corpus.identity import Identity, IdRules
from hemometric.corpus.link_file import LinkRows, count_rows


@pytest.fixture
def archive(tmp_path: Path, write_record) -> Path:
    """Four recordings of the patients 1 to 4."""
    for number in range(1, 5):
        write_record(tmp_path / "archive", f"r{number}", seed=number)
    rows = [f"r{number},000{number}" for number in range(1, 5)]
    (tmp_path / "labels.csv").write_text("\n".join(["record,mrn", *rows]) + "\n")
    return tmp_path / "archive"


@pytest.mark.parametrize("pseudonyms", ["keyed", "random"])
def test_rows_are_counted_by_what_they_came_to(
    archive: Path, tmp_path: Path, ingest, own_key: Key, pseudonyms: str
) -> None:
    links, out = tmp_path / "links.csv", tmp_path / "out"
    table = ColumnsTable(path=tmp_path / "labels.csv", record="record", patient="mrn")
    rules = IdRules(leading_zeros="strip", pattern=r"\d+")
    config = IngestConfig(table=table, identity=Identity(rules=rules, same=links), pseudonyms=pseudonyms)  # type: ignore[arg-type]

    def counted(rows: str) -> LinkRows:
        links.write_text(f"id,same_as\n{rows}")
        ingest(config, [archive], out, own_key)
        with ingest_lock(out):
            plan = prepare_ingest(config, [archive], out, own_key)
        assert plan.finished is not None
        return count_rows(config.identity, plan.context.key, open_corpus(out), plan.names)

    assert counted("") == LinkRows(0, 0, 0, 0, 0)
    assert counted("x1,x2\n1,\nunknown,2\n3,0003\n") == LinkRows(joining=0, unknown=0, unfit=1, empty=3, unsaid=0)
    assert counted("1,02\n77,78\n") == LinkRows(joining=1, unknown=1, unfit=0, empty=0, unsaid=0)
    assert counted("77,78\n") == LinkRows(joining=0, unknown=1, unfit=0, empty=0, unsaid=1), "1 is 2 for ever"
    assert counted("3,99\n") == LinkRows(joining=1, unknown=0, unfit=0, empty=0, unsaid=1), "77 and 78 are nobody here"


@pytest.fixture
def own_key(tmp_path: Path) -> Key:
    """A key whose random codes lie beside it."""
    path = tmp_path / "own.key"
    path.write_text("0123456789abcdef" * 4)
    path.chmod(0o600)
    return load_or_create_key(path)
