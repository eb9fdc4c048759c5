"""What a corpus holds, and the hashes to prove it: one JSON file without a clock, a path or a patient's name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_serializer, field_validator

from hemometric.config import Config, essence
from hemometric.corpus.files import write_bytes
from hemometric.corpus.labels import Label
from hemometric.corpus.measurements import Pair
from hemometric.corpus.schema import SCHEMA_VERSION
from hemometric.corpus.split import NUM_PARTITIONS, SPLITS, Split, SplitConfig
from hemometric.errors import IntegrityError, UsageError

MANIFEST = "manifest.json"
QUARANTINE = "quarantine"
LINKS = "links"
SUCCESS = "_SUCCESS"


class SplitCounts(Config):
    """How many recordings of how many patients."""

    recordings: int
    patients: int


class Counts(Config):
    """``found = accepted + sum(rejected)``; and what could not be joined or believed of the accepted recordings.

    Attributes
    ----------
    rejected : dict
        From a reason code to the number of recordings; each one is a row of the quarantine table.
    unmatched : int
        Those for which the table has no row.
    nulled : dict
        From a field to the accepted recordings whose value was out of range or unreadable, and became absent.
    measurements : dict
        From a label of measurements to what became of their table's values; see `measured_rows.FATES`.
    paired : dict
        From such a label to what became of it for the accepted recordings; see `pairing.OUTCOMES`.
    labels : dict
        From a label to the accepted recordings that have it.
    """

    found: int
    accepted: int
    rejected: dict[str, int]
    unmatched: int
    nulled: dict[str, int]
    measurements: dict[str, dict[str, int]] = Field(default_factory=dict)
    paired: dict[str, dict[str, int]] = Field(default_factory=dict)
    labels: dict[str, int]
    splits: dict[Split, SplitCounts]

    @field_validator("splits")
    @classmethod
    def _all_of_them(cls, splits: dict[Split, SplitCounts]) -> dict[Split, SplitCounts]:
        if set(splits) != set(SPLITS):
            raise ValueError(f"splits must be {', '.join(SPLITS)}")
        return splits


class TableEntry(Config):
    """Which table was joined: file names without folders, and the hash of their bytes."""

    kind: str
    files: tuple[str, ...]
    sha256: str


class Partitions(Config):
    """How many keyed patient partitions there are, and how many rows lie in each."""

    num: int = Field(ge=NUM_PARTITIONS, le=NUM_PARTITIONS)
    rows: tuple[int, ...] = Field(min_length=NUM_PARTITIONS, max_length=NUM_PARTITIONS)


class FileEntry(Config):
    """A file of the corpus, by its path within the corpus folder: one of the names that an ingest gives, no other."""

    path: str = Field(pattern=r"^(?:quarantine|links)(?:-[0-9]{5})?\.parquet$")
    num_rows: int
    num_bytes: int
    sha256: str


class ShardEntry(FileEntry):
    """A shard: rows of one split, of part of one partition or of several whole ones."""

    path: str = Field(pattern=r"^shards/(?:train|validation|test)/part-[0-9]+\.parquet$")
    split: Split
    partitions: tuple[Annotated[int, Field(ge=0, lt=NUM_PARTITIONS)], ...]

    @property
    def number(self) -> int:
        """Its number among the shards of its split."""
        return int(Path(self.path).stem.removeprefix("part-"))


class Manifest(Config):
    """See the module's first line.

    Attributes
    ----------
    key_id : str
        Tells which pseudonym key made the names.
    crosswalk : str
        Names the file of random codes by which its patients and recordings go; empty where their names are keyed.
    num_ingests : int
        How often recordings were added, replaced or taken out.
    measurements : str
        Hash of the tables of measurements; see `measured_rows.hash_of`.
    pairs : dict
        From a label of measurements to the window and the choice that are part of what it means.
    ingest_config : str
        Fingerprint of what of the ingest config decides the content; the same for all ingests into a corpus.
    table : TableEntry
        As the last ingest found it.
    quarantine, links : FileEntry
        What was refused, and which patients go under another's name; see `schema`.
    """

    schema_version: int
    package_version: str
    key_id: str
    crosswalk: str = ""
    num_ingests: int = Field(ge=1)
    ingest_config: str
    split: SplitConfig
    table: TableEntry
    measurements: str = ""
    pairs: dict[str, Pair] = Field(default_factory=dict)
    labels: tuple[Label, ...]
    counts: Counts
    partitions: Partitions
    quarantine: FileEntry
    links: FileEntry
    shards: tuple[ShardEntry, ...]

    @field_serializer("split", when_used="json")
    def _as_decided(self, split: SplitConfig) -> Any:
        return essence(split)

    def label(self, name: str) -> Label | None:
        """Find a label by its name."""
        return next((label for label in self.labels if label.name == name), None)


def manifest_bytes(manifest: Manifest) -> bytes:
    """Write the one JSON text of a manifest: sorted keys, so that equal manifests are equal bytes."""
    return (json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put a manifest in place of the one that is there, at once: a reader finds the old corpus or the new one.

    For an instant the marker holds the hashes of both. Where all is as it should be, nothing is written.
    """
    content = manifest_bytes(manifest)
    digest = hashlib.sha256(content).hexdigest()
    marker, path = folder / SUCCESS, folder / MANIFEST
    if marker.is_file():
        if marker.read_text().split() == [digest] and path.read_bytes() == content:
            return
        before = hashlib.sha256(path.read_bytes()).hexdigest()
        write_bytes(marker, f"{before}\n{digest}\n".encode())
    write_bytes(path, content)
    write_bytes(marker, digest.encode() + b"\n")


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Read a finished corpus's manifest and the hash of its bytes.

    Raises
    ------
    UsageError
        There is no corpus, it is not finished, it may not be read, or it has another schema version.
    IntegrityError
        The manifest's bytes are not those that the marker file promises, or they are no manifest.
    """
    try:
        content = _sealed_bytes(folder)
    except PermissionError as error:
        raise unreadable(folder, error) from None
    return parse_manifest(content, str(folder / MANIFEST)), hashlib.sha256(content).hexdigest()


def unreadable(path: Path, error: PermissionError) -> UsageError:
    """Say that a corpus, or a file of it, may not be read: nothing is wrong with it."""
    return UsageError(f"{error.filename or path} cannot be read: {error.strerror}; allow reading it and run again")


def _sealed_bytes(folder: Path) -> bytes:
    if not folder.exists():
        raise UsageError(f"corpus {folder} does not exist; make one with `hemometric ingest SOURCE --out {folder}`")
    if not folder.is_dir():
        raise UsageError(f"corpus {folder} is a file; give the folder that `hemometric ingest` has made")
    path = folder / MANIFEST
    marker = folder / SUCCESS
    if not marker.is_file():
        half = path.exists() or (folder / "staging").exists() or (folder / "shards").exists()
        made = f"holds no corpus; make one with `hemometric ingest SOURCE --out {folder}`"
        raise UsageError(f"{folder} {'is not finished; run the same `hemometric ingest` again' if half else made}")
    if not path.is_file():
        raise IntegrityError(f"{path} is missing; run the same `hemometric ingest` into another folder")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() not in marker.read_bytes().decode(errors="replace").split():
        raise IntegrityError(f"{path} is not the file that was written (its hash differs from {SUCCESS}); restore it")
    return content


def parse_manifest(content: bytes, source: str) -> Manifest:
    """Read a manifest's text.

    Raises
    ------
    UsageError
        It has another schema version.
    IntegrityError
        It is no manifest.
    """
    try:
        version = json.loads(content)["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise IntegrityError(f"{source} is no manifest of a corpus; restore it or make the corpus again") from None
    if version != SCHEMA_VERSION:
        raise UsageError(
            f"{source} has schema version {version} and this hemometric reads {SCHEMA_VERSION}; "
            "make the corpus again, or use the version of hemometric that made it"
        )
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise IntegrityError(f"{source}: field {place} is not what a manifest holds; make the corpus again") from None
