"""Folders behind symbolic links are not searched: an ingest and its dry run say how many, and name none."""

from __future__ import annotations

from pathlib import Path

import pytest

import hemometric.demo
from hemometric.corpus import IngestConfig
from hemometric.runs import ingest, ingest_estimate
from hemometric.runs.ingest import IngestRun

REAL = Path(hemometric.demo.__file__).parent / "data" / "ptbxl" / "records100"
ONE = (
    "careful: 1 linked folder below the sources not searched; give what a link leads to as a source of its own, if ECGs"
)


@pytest.fixture
def config(tmp_path: Path) -> IngestRun:
    """A source of two folders, one of them a link."""
    source, folders = tmp_path / "source", sorted(path for path in REAL.iterdir() if path.is_dir())
    (source / "a").mkdir(parents=True)
    for header in sorted(folders[0].glob("*.hea"))[:3]:
        for path in (header, header.with_suffix(".dat")):
            (source / "a" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "elsewhere" / "DOE_JOHN").mkdir(parents=True)
    (source / "DOE_JOHN").symlink_to(tmp_path / "elsewhere" / "DOE_JOHN")
    plain = IngestConfig(patients="recording_is_patient")
    return IngestRun(sources=(source,), out=tmp_path / "out", key=_key(tmp_path), workers=0, ingest=plain)


def _key(folder: Path) -> Path:
    path = folder / "key"
    path.write_text("0123456789abcdef" * 4)
    path.chmod(0o600)
    return path


def test_a_link_is_said(config: IngestRun) -> None:
    for lines in (ingest_estimate.run(config), ingest.run(config), ingest.run(config)):
        assert [line for line in lines if line.startswith(ONE)], lines
        assert "DOE" not in " ".join(lines)


def test_what_is_searched_anyway_is_not_said(config: IngestRun) -> None:
    (source,) = config.sources
    assert isinstance(source, Path)
    (source / "loop").symlink_to(source)
    (source / ".hidden").symlink_to("/tmp")
    (source / "b").symlink_to(source / "a")
    elsewhere = source.parent / "elsewhere"
    assert ingest.not_followed((source, "s3://bucket/folder"))[0].startswith(ONE)
    assert ingest.not_followed((source, elsewhere)) == []
    (source / "up").symlink_to(source.parent)
    assert ingest.not_followed((source,))[0].startswith("careful: 2 linked folders below the sources not searched;")
