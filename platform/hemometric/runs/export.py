"""Export: recordings of a corpus as files that other tools read."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from hemometric import __version__
from hemometric.config import PLACEMENT, Config, fingerprint
from hemometric.corpus import SPLITS, Corpus, ShardEntry, open_corpus
from hemometric.corpus.files import need_room, remove_temporaries, sha256_of, usable, write_bytes
from hemometric.corpus.schema import QUALITY_PREFIX
from hemometric.errors import DataRejectedError, UsageError
from hemometric.runs.export_arrays import remove_drafts, write_arrays
from hemometric.runs.export_card import card
from hemometric.runs.export_parts import Part, Source, Write, write_parquet, write_part, write_tar
from hemometric.runs.export_readme import Form, body
from hemometric.runs.export_selection import Selection, chosen_columns, count_selected, left_behind
from hemometric.runs.folder import NOTES, claimed_folder
from hemometric.runs.pace import Pace
from hemometric.runs.shapes import Count, Shape
from hemometric.runs.words import counted, finished_already
from hemometric.waveform import Preparation

SUMMARY, SUCCESS = "_export.json", "_SUCCESS"
README: dict[Form, str] = {
    "parquet": "_README.md",
    "hf": "README.md",
    "webdataset": "README.md",
    "npy": "README.md",
}
"""Readers take a folder of Parquet files as one table, and pass over names that begin so."""


class ExportRun(Config):
    """One export.

    Attributes
    ----------
    corpus, out : Path
        Folders.
    to : "parquet", "hf", "webdataset" or "npy"
        One Parquet file per shard; the same laid out with a card for Hugging Face `datasets`; one tar per shard with an
        array and a JSON file per recording; or one array per split that numpy maps, beside a Parquet file of its rows.
    signals : "prepared" or "native"
        float32 mV of one rate, length and order of leads, see `preparation`; or int16 counts as the device stored them.
    selection : Selection
        Which recordings and columns.
    """

    job: Literal["export"] = "export"
    corpus: Annotated[Path, PLACEMENT]
    out: Annotated[Path, PLACEMENT]
    to: Form
    signals: Literal["prepared", "native"] = "prepared"
    preparation: Preparation = Preparation()
    selection: Selection = Field(default_factory=Selection)

    @model_validator(mode="after")
    def _has_one_length(self) -> ExportRun:
        if self.to == "npy" and self.signals == "native":
            raise ValueError("to: npy needs signals of one length; take signals: prepared, or another format")
        return self


class Done(Shape):
    """What became of a file, or of a split's array and rows: believed while their bytes are these."""

    sha256: dict[str, str]
    num_rows: Count
    rejected: dict[str, Count]
    identity: str


def run(config: ExportRun) -> list[str]:
    """Write what is missing, and ``_SUCCESS`` last.

    Raises
    ------
    UsageError
        There is no corpus, it has no such column or label, no recording is selected, or `out` lies within the corpus
        or holds something else.
    PrecheckError
        Another command is writing there, or the disk is too small.
    IntegrityError
        The corpus is damaged.
    DataRejectedError
        No selected recording can be prepared so.
    """
    corpus = open_corpus(config.corpus)
    if config.out.resolve().is_relative_to(config.corpus.resolve()):
        raise UsageError(f"out: {config.out} lies within the corpus; choose a folder outside of it")
    source = _source(config, corpus)
    selected = _selected(config, corpus)
    identity = hashlib.sha256(f"{__version__} {corpus.hash} {fingerprint(config)}".encode()).hexdigest()[:16]
    with claimed_folder(config.out, identity, "another export"), usable(config.out, "out"):
        remove_temporaries(*(config.out / name for name in (NOTES, "data", *SPLITS)))
        was_whole = (config.out / SUCCESS).is_file()
        _check_room(config, selected)
        if config.to == "npy":
            done = _arrays(config, source, selected, identity)
        else:
            done = _files(config, source, selected, identity)
        is_new = _conclude(config, source, done)
    lines = _told(config, source, selected, done)
    return lines if is_new or not was_whole else [finished_already(config.out), *lines]


def _source(config: ExportRun, corpus: Corpus) -> Source:
    is_native = config.signals == "native"
    columns = chosen_columns(corpus, config.selection, native=is_native)
    about: dict[str, Any] = {"signal": _signal_words(config), "corpus_hash": corpus.hash, "hemometric": __version__}
    if not is_native:
        about["preparation"] = config.preparation.model_dump(mode="json")
    return Source(corpus, config.selection, None if is_native else config.preparation, columns, about)


def _signal_words(config: ExportRun) -> str:
    if config.signals == "native":
        return (
            "int16 [lead][sample], counts as the device stored them, -32768 where there is no sample; "
            "mV = (count - offset_counts) / gain_per_mv, per lead"
        )
    chosen = config.preparation
    leads = " ".join(chosen.leads)
    return f"float32 [{len(chosen.leads)}][{chosen.num_samples}] mV at {chosen.rate_hz:g} Hz; leads {leads}"


def _selected(config: ExportRun, corpus: Corpus) -> dict[ShardEntry, int]:
    """Give the shards that have something to say, and how many of their recordings are selected."""
    counts = {
        shard: count_selected(corpus, shard, config.selection) for shard in corpus.shards(config.selection.splits)
    }
    if not any(counts.values()):
        raise UsageError(f"selection: no recording of {corpus.path} is selected; ask for less")
    return {shard: count for shard, count in counts.items() if count}


def _check_room(config: ExportRun, selected: Mapping[ShardEntry, int]) -> None:
    """Refuse what cannot end, where files are as large as their signals."""
    if config.signals == "prepared" and config.to in ("npy", "webdataset"):
        there = sum(path.stat().st_size for path in config.out.rglob("*") if path.is_file())
        row_bytes = 4 * len(config.preparation.leads) * config.preparation.num_samples
        need_room(config.out, max(0, sum(selected.values()) * row_bytes - there), "this export")


def _files(config: ExportRun, source: Source, selected: Mapping[ShardEntry, int], identity: str) -> dict[str, Done]:
    """Write one file per shard."""
    write: Write = write_tar if config.to == "webdataset" else write_parquet
    done: dict[str, Done] = {}
    with Pace("export", sum(selected.values())) as pace:
        for part in parts(config.to, tuple(selected)):
            known = _finished(config.out, part.path, identity)
            if known is None:
                num_rows, rejected, digest = write_part(source, part, config.out, write)
                known = Done(sha256={part.path: digest}, num_rows=num_rows, rejected=rejected, identity=identity)
                _note(config.out, part.path, known)
            done[part.path] = known
            pace.add(selected[part.shard])
    return done


def _arrays(config: ExportRun, source: Source, selected: Mapping[ShardEntry, int], identity: str) -> dict[str, Done]:
    """Write one array and its rows per split."""
    done: dict[str, Done] = {}
    with Pace("export", sum(selected.values())) as pace:
        for split in SPLITS:
            shards = [shard for shard in selected if shard.split == split]
            known = _finished(config.out, split, identity) if shards else None
            if not shards:
                continue
            if known is None:
                num_rows, rejected = write_arrays(
                    source, split, shards, config.out, lambda shard: pace.add(selected[shard])
                )
                digests = {name: sha256_of(config.out / name) for name in (f"{split}.npy", f"{split}.parquet")}
                known = Done(sha256=digests, num_rows=num_rows, rejected=rejected, identity=identity)
                _note(config.out, split, known)
            else:
                pace.add(sum(selected[shard] for shard in shards))
            done[split] = known
    remove_drafts(config.out)
    return done


def parts(to: Form, shards: Sequence[ShardEntry]) -> list[Part]:
    """Name the file of each shard, numbered anew within its split."""
    made = []
    for split in SPLITS:
        inside = [shard for shard in shards if shard.split == split]
        for number, shard in enumerate(inside):
            path = {
                "parquet": f"{split}/part-{number:05d}.parquet",
                "hf": f"data/{split}-{number:05d}-of-{len(inside):05d}.parquet",
                "webdataset": f"{split}-{number:06d}.tar",
            }[to]
            made.append(Part(path, split, shard))
    return made


def _conclude(config: ExportRun, source: Source, done: Mapping[str, Done]) -> bool:
    """Write README, summary and marker; tell whether anything of it is new."""
    rows = _rows_by_split(done)
    rejected = _rejected(done)
    if not any(rows.values()):
        reasons = ", ".join(f"{reason} {count}" for reason, count in rejected.items())
        raise DataRejectedError(
            f"no selected recording of {config.corpus} can be prepared so ({reasons}); change preparation, or take "
            "signals: native"
        )
    summary = {
        **source.about,
        "to": config.to,
        "columns": list(source.columns),
        "selection": config.selection.model_dump(mode="json"),
        "rows": rows,
        "rejected": rejected,
        "files": {name: digest for one in done.values() for name, digest in sorted(one.sha256.items())},
    }
    content = json.dumps(summary, indent=1, sort_keys=True).encode() + b"\n"
    files = {SUMMARY: content, README[config.to]: _readme(config, source, rows).encode()}
    files[SUCCESS] = hashlib.sha256(content).hexdigest().encode() + b"\n"
    is_new = False
    for name, wanted in files.items():
        path = config.out / name
        if not path.is_file() or path.read_bytes() != wanted:
            write_bytes(path, wanted)
            is_new = True
    return is_new


def _readme(config: ExportRun, source: Source, rows: Mapping[str, int]) -> str:
    if config.to != "hf":
        return body(config.to, source, rows, _signal_words(config)).lstrip()
    sizes = {split: sum(path.stat().st_size for path in config.out.glob(f"data/{split}-*")) for split in rows}
    return card(source, rows, sizes, _signal_words(config))


def _rows_by_split(done: Mapping[str, Done]) -> dict[str, int]:
    rows: Counter[str] = Counter()
    for name, one in done.items():
        rows[next(split for split in SPLITS if name.removeprefix("data/").startswith(split))] += one.num_rows
    return {split: rows[split] for split in SPLITS if split in rows}


def _rejected(done: Mapping[str, Done]) -> dict[str, int]:
    rejected: Counter[str] = Counter()
    for one in done.values():
        rejected.update(one.rejected)
    return dict(sorted(rejected.items()))


def _told(config: ExportRun, source: Source, selected: Mapping[ShardEntry, int], done: Mapping[str, Done]) -> list[str]:
    rows, rejected = _rows_by_split(done), _rejected(done)
    num_files = sum(len(one.sha256) for one in done.values())
    lines = [
        f"{sum(rows.values())} of {counted(sum(selected.values()), 'selected recording')} in "
        f"{counted(num_files, 'file')}: " + ", ".join(f"{split} {num}" for split, num in rows.items()),
        f"signal: {_signal_words(config)}",
        f"columns: {_listed(source.columns)}",
    ]
    if behind := left_behind(source.corpus, source.columns):
        lines.append(f"left behind: {_listed(behind)} (--add-column or selection.add_columns takes them along)")
    if rejected:
        lines.append("refused: " + ", ".join(f"{reason} {count}" for reason, count in rejected.items()))
    lines.append("careful: these are data of patients, under pseudonyms; what guarded the corpus does not guard them")
    return [*lines, f"export: {config.out}"]


def _listed(columns: Sequence[str]) -> str:
    """List columns, the many measures of quality as one."""
    measures = [name for name in columns if name.startswith(QUALITY_PREFIX)]
    named = [name for name in columns if name not in measures]
    return ", ".join([*named, *([f"{QUALITY_PREFIX}* ({len(measures)})"] if measures else [])])


def _note_path(out: Path, name: str) -> Path:
    return out / NOTES / f"{name.replace('/', '_')}.json"


def _note(out: Path, name: str, done: Done) -> None:
    write_bytes(_note_path(out, name), json.dumps(done.model_dump(), sort_keys=True).encode() + b"\n")


def _finished(out: Path, name: str, identity: str) -> Done | None:
    """Read the note of a finished file; None where there is none of this export, or the file is another."""
    try:
        done = Done.model_validate_json(_note_path(out, name).read_bytes())
        is_whole = all(sha256_of(out / path) == digest for path, digest in done.sha256.items())
    except (OSError, ValidationError):
        return None
    return done if is_whole and done.identity == identity else None
