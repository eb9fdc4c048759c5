"""The archive of a neighbour search: what is compared of each recording, in files that are mapped, sorted by id.

Each shard is prepared by whichever worker gets it and written into its own rows of one file; a note beside it says that
it is done. Memory holds a few hundred recordings at a time, however many there are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hemometric.corpus import Corpus, open_corpus
from hemometric.corpus.files import make_folder, need_room, replacing, write_bytes
from hemometric.ecg import Float32, Rejected
from hemometric.errors import DataRejectedError, IntegrityError
from hemometric.mining.compared import ComparedConfig, comparable
from hemometric.runs.mapped_files import loaded, make_mapped, reading
from hemometric.waveform import Preparation, prepare

MAIN = "main"
"""The look that distances are exact on; others only propose candidates."""

IDS = "recording_ids.npy"
USABLE = "usable.npy"
LAID = "laid"
_ROWS = 256
_UNUSABLE = "nothing_to_compare"


@dataclass(frozen=True)
class Stage:
    """One shard, and where its rows begin."""

    path: str
    first_row: int
    num_rows: int


@dataclass(frozen=True)
class Stages:
    """What every worker needs to lay shards out.

    Attributes
    ----------
    corpus, folder : Path
    preparation : Preparation
    looks : mapping
        From a name to what of a recording is compared; `MAIN` is there.
    shapes : mapping
        From the same names to (lead, sample).
    shards : tuple of Stage
    """

    corpus: Path
    folder: Path
    preparation: Preparation
    looks: Mapping[str, ComparedConfig]
    shapes: Mapping[str, tuple[int, int]]
    shards: tuple[Stage, ...]

    @property
    def num_rows(self) -> int:
        """Recordings of all shards."""
        return sum(shard.num_rows for shard in self.shards)

    def note(self, shard: Stage) -> Path:
        """Say where the note of a finished shard lies."""
        return self.folder / f"staged-{shard.first_row}.json"


@dataclass(frozen=True)
class Block:
    """Queries of one piece of work: rows `first` to `stop` of the archive."""

    first: int
    stop: int


@dataclass(frozen=True)
class Archive:
    """The laid archive.

    Attributes
    ----------
    folder : Path
    num_recordings : int
        That can be compared.
    left_out : mapping
        From a reason to the number of the others.
    """

    folder: Path
    num_recordings: int
    left_out: Mapping[str, int]

    def blocks(self, num: int) -> tuple[Block, ...]:
        """Cut the recordings into blocks of `num`."""
        return tuple(
            Block(first, min(first + num, self.num_recordings)) for first in range(0, self.num_recordings, num)
        )


def stages_of(
    corpus: Corpus,
    splits: Sequence[str],
    folder: Path,
    preparation: Preparation,
    looks: Mapping[str, ComparedConfig],
) -> Stages:
    """Make the folder and the empty files of a search, where they are not there.

    Raises
    ------
    UsageError
        The preparation lacks what is to be compared.
    PrecheckError
        The disk is too small.
    """
    shards, first_row = [], 0
    for shard in corpus.shards(splits):
        shards.append(Stage(shard.path, first_row, shard.num_rows))
        first_row += shard.num_rows
    silence = np.zeros((1, len(preparation.leads), preparation.num_samples), np.float32)
    shapes = {}
    for name, look in looks.items():
        _, num_leads, num_samples = look.build()(silence, preparation.rate_hz, preparation.leads).shape
        shapes[name] = (num_leads, num_samples)
    stages = Stages(corpus.path, folder, preparation, dict(looks), shapes, tuple(shards))
    make_folder(folder)
    if (folder / LAID).is_file():
        return stages
    # Looks are staged and then laid. Once files are mapped, a full disk ends the process without a word.
    taken = sum(512 * path.stat().st_blocks for path in folder.glob("*.npy"))
    total = 8 * first_row * sum(num_leads * num_samples for num_leads, num_samples in shapes.values())
    need_room(folder, total - taken, "what is to be compared")
    made: dict[Path, tuple[int, ...]] = {folder / USABLE: (first_row,)}
    made.update((folder / f"staged-{name}.npy", (first_row, *shape)) for name, shape in shapes.items())
    missing = [path for path in made if not path.is_file()]
    for note in folder.glob("staged-*.json") if missing else ():
        note.unlink()  # of a file that is there no more
    for path in missing:
        _make(path, made[path], np.bool_ if path.name == USABLE else np.float32)
    return stages


def stage_shard(stages: Stages, shard: Stage) -> int:
    """Prepare one shard's recordings and write what is compared into their rows; done already, it is left as it is.

    Returns
    -------
    int
        The shard's recordings.
    """
    if (finished := _note(stages, shard)) is not None:
        return int(finished["num_rows"])
    corpus = open_corpus(stages.corpus)
    entry = next(found for found in corpus.manifest.shards if found.path == shard.path)
    arrays = {name: loaded(stages.folder / f"staged-{name}.npy", "r+") for name in stages.looks}
    usable = loaded(stages.folder / USABLE, "r+")
    left_out: Counter[str] = Counter()
    ids: list[str] = []
    rows: list[int] = []
    signals: list[Float32] = []

    def write() -> None:
        if not rows:
            return
        stacked = np.stack(signals)
        for name, look in stages.looks.items():
            compared = look.build()(stacked, stages.preparation.rate_hz, stages.preparation.leads)
            arrays[name][rows] = compared
            usable[rows] &= comparable(compared)
        left_out[_UNUSABLE] += int((~usable[rows]).sum())
        rows.clear()
        signals.clear()

    for row, (fields, recording) in enumerate(corpus.recordings_of(entry), start=shard.first_row):
        ids.append(fields["recording_id"])
        signal = prepare(recording, stages.preparation)
        usable[row] = not isinstance(signal, Rejected)
        if isinstance(signal, Rejected):
            left_out[signal.reason] += 1
            continue
        rows.append(row)
        signals.append(signal)
        if len(rows) == _ROWS:
            write()
    write()
    for array in (*arrays.values(), usable):
        array.flush()
    note = {"num_rows": shard.num_rows, "recording_ids": ids, "left_out": dict(+left_out)}
    write_bytes(stages.note(shard), json.dumps(note).encode())
    return shard.num_rows


def lay_archive(stages: Stages) -> Archive:
    """Bring what can be compared into the order of recording ids, so that neither shards nor workers show in it.

    Raises
    ------
    IntegrityError
        A shard was not laid out.
    DataRejectedError
        Nobody has another to be compared with.
    """
    notes = [_note(stages, shard) for shard in stages.shards]
    left_out: Counter[str] = Counter()
    ids: list[str] = []
    for shard, note in zip(stages.shards, notes, strict=True):
        if note is None:
            raise IntegrityError(f"shard {shard.path} was not laid out; run the same command again")
        ids += note["recording_ids"]
        left_out.update(note["left_out"])
    usable = loaded(stages.folder / USABLE)
    order = np.asarray([row for row in np.argsort(np.asarray(ids)) if usable[row]], dtype=np.int64)
    if len(order) < 2:
        why = ", ".join(f"{reason} {count}" for reason, count in sorted(left_out.items())) or "there are no more"
        raise DataRejectedError(f"{len(order)} recordings of the chosen splits can be compared, fewer than two ({why})")
    archive = Archive(stages.folder, len(order), dict(left_out))
    if not (stages.folder / LAID).is_file():
        with replacing(stages.folder / IDS) as temporary, temporary.open("wb") as file:
            np.save(file, np.asarray(ids)[order])
        for name, shape in stages.shapes.items():
            _rearrange(stages.folder / f"staged-{name}.npy", laid_path(stages.folder, name), order, shape)
        write_bytes(stages.folder / LAID, b"")
    for name in stages.looks:
        (stages.folder / f"staged-{name}.npy").unlink(missing_ok=True)
    return archive


def laid_path(folder: Path, name: str) -> Path:
    """Say where a look lies once it is sorted."""
    return folder / f"look-{name}.npy"


def read_look(folder: Path, name: str = MAIN) -> Float32:
    """Map a look: float32 [recording, lead, sample], rows in the order of recording ids."""
    look: Float32 = loaded(laid_path(folder, name), "r")
    return look


def read_ids(folder: Path) -> npt.NDArray[np.str_]:
    """Read the recording ids, sorted."""
    ids: npt.NDArray[np.str_] = loaded(folder / IDS)
    return ids


def _make(path: Path, shape: tuple[int, ...], dtype: type) -> None:
    with replacing(path) as temporary:
        make_mapped(temporary, shape, dtype)


def _rearrange(source: Path, target: Path, order: npt.NDArray[np.int64], shape: tuple[int, int]) -> None:
    staged = loaded(source, "r")
    with replacing(target) as temporary:
        laid = make_mapped(temporary, (len(order), *shape), np.float32)
        for first in range(0, len(order), _ROWS):
            laid[first : first + _ROWS] = staged[order[first : first + _ROWS]]
        laid.flush()


def _note(stages: Stages, shard: Stage) -> dict[str, Any] | None:
    path = stages.note(shard)
    if not path.is_file():
        return None
    with reading(path):
        note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return note
