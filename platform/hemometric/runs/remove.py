"""Remove: patients who withdraw, or single recordings, taken out of a corpus for good."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hemometric.corpus import default_key_path, ingest_lock, load_or_create_key, open_corpus
from hemometric.corpus.files import usable
from hemometric.corpus.removal import of_patients, remove
from hemometric.errors import UsageError
from hemometric.runs.words import counted

_KEY = re.compile(r"[0-9a-f]{32}")


def remove_recordings(
    folder: Path, keys: Sequence[str] = (), *, patients: Path | None = None, key_file: Path | None = None
) -> list[str]:
    """Take recordings out of a corpus: by their keys, and all of the patients whose ids a file lists.

    Parameters
    ----------
    patients : Path, optional
        Ids as the files or the table write them, one a line; ``site/id`` where ids are told apart by site.
    key_file : Path, optional
        Of the pseudonyms; None takes the one of the user's config folder.

    Raises
    ------
    UsageError
        There is no corpus, nothing was asked for, a key is none, or the file cannot be read; or as `of_patients` and
        `remove` say.
    PrecheckError
        Another command is writing there, or the disk is full.
    IntegrityError
        The corpus is damaged.
    """
    if not keys and patients is None:
        raise UsageError("give keys of recordings, or --patients with a file of ids")
    if wrong := [key for key in keys if not _KEY.fullmatch(key.lower())]:
        raise UsageError(f"{wrong[0]!r} is no whole key of a recording: 32 digits 0-9 and a-f")
    ids = [] if patients is None else _ids(patients)
    open_corpus(folder)  # what is no corpus does not even get a lock
    with usable(folder, "corpus"), ingest_lock(folder):
        corpus = open_corpus(folder)
        wanted, num_unknown = {key.lower() for key in keys}, 0
        if patients is not None:
            place = key_file or default_key_path()
            if not place.is_file():
                raise UsageError(f"key file {place} does not exist; give the one of the ingest with --key")
            chosen = of_patients(corpus, ids, load_or_create_key(place))
            wanted, num_unknown = wanted | chosen.recordings, chosen.num_unknown
        manifest = remove(corpus, wanted)
    before = corpus.manifest.counts
    num_gone = before.accepted - manifest.counts.accepted
    num_people = sum(before.splits[split].patients - held.patients for split, held in manifest.counts.splits.items())
    lines = [f"{counted(num_gone, 'recording')} removed, {counted(num_people, 'patient')} without any left"]
    if num_unknown:
        lines.append(
            f"careful: no recording here is of {counted(num_unknown, 'patient')} of the file; see how ids are spelt"
        )
    if num_gone:
        lines.append(
            "careful: models, embeddings, estimates, exports, neighbours and caches made of it before hold them still; "
            "make them again"
        )
    return [*lines, f"{counted(manifest.counts.accepted, 'recording')} stay", f"corpus: {folder}"]


def _ids(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise UsageError(f"--patients: {path} cannot be read: {why}") from None
    ids = [line.strip() for line in lines if line.strip()]
    if not ids:
        raise UsageError(f"--patients: {path} lists nobody; write an id a line, as the files or the table have it")
    return ids
