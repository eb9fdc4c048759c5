"""What is left to do when a new manifest is there; a kill on the way is made good by the next ingest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from hemometric.corpus.ledger import Ledger, write_stamps
from hemometric.corpus.manifest import MANIFEST, SUCCESS, Manifest, write_manifest
from hemometric.corpus.own_files import kept_files, remove_halves, staged_files
from hemometric.corpus.regrouping import FOLDER
from hemometric.corpus.shards import SHARDS
from hemometric.corpus.split import SPLITS
from hemometric.corpus.units import DEPOT, STAGING
from hemometric.vendors.depot import remove_depot

_OF_A_CORPUS = {MANIFEST, SUCCESS, SHARDS, STAGING}


def tidy(out: Path, manifest: Manifest, ledger: Ledger) -> None:
    """Keep the stamps, and remove what the manifest does not name."""
    write_manifest(out, manifest)
    write_stamps(out, ledger)
    sweep(out, manifest)
    remove_depot(out / STAGING / DEPOT)
    for path in staged_files(out):
        path.unlink()
    _remove_empty(out / STAGING / FOLDER, out / STAGING)


def leave(out: Path, made: Sequence[Path], marks: Mapping[str, bool]) -> None:
    """Remove what a refused run has made and no later one would use; staged work stays, for the same command again.

    Where nothing else is there, the folder goes too, with those around it that the run made for it.

    Parameters
    ----------
    made : sequence of Path
        The folders that were not there before, the innermost first.
    marks : mapping
        Files that say nothing by themselves, and whether the run made them: others' stay in a folder of others.
    """
    # What was unpacked names patients, and nobody may ever come back for it.
    remove_depot(out / STAGING / DEPOT)
    _remove_empty(out / STAGING)
    names = {path.name for path in out.iterdir()}
    if names & _OF_A_CORPUS:
        return
    is_bare = names <= marks.keys()
    for name, is_new in marks.items():
        if is_new or is_bare:
            (out / name).unlink(missing_ok=True)
    with suppress(OSError):  # others have put something there
        for folder in made:
            folder.rmdir()


def sweep(out: Path, manifest: Manifest) -> None:
    """Remove shards and tables that the manifest does not name, and what killed writers have left half-written."""
    kept = {out / entry.path for entry in (*manifest.shards, manifest.quarantine, manifest.links)}
    for path in kept_files(out):
        if path not in kept:
            path.unlink()
    _remove_empty(*(out / SHARDS / split for split in SPLITS))
    remove_halves(out)


def _remove_empty(*folders: Path) -> None:
    """Remove folders that hold nothing more: neither work that stays, nor files of others."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
