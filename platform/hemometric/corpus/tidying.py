"""What is left to do when a new manifest is there; a kill on the way is made good by the next ingest."""

from __future__ import annotations

import shutil
from pathlib import Path

from hemometric.corpus.files import remove_temporaries
from hemometric.corpus.ledger import Ledger, write_stamps
from hemometric.corpus.manifest import Manifest, write_manifest
from hemometric.corpus.shards import SHARDS
from hemometric.corpus.units import DEPOT, STAGING
from hemometric.vendors.depot import remove_depot


def tidy(out: Path, manifest: Manifest, ledger: Ledger) -> None:
    """Keep the stamps, and remove what the manifest does not name."""
    write_manifest(out, manifest)
    write_stamps(out, ledger)
    sweep(out, manifest)
    remove_depot(out / STAGING / DEPOT)
    shutil.rmtree(out / STAGING, ignore_errors=True)


def sweep(out: Path, manifest: Manifest) -> None:
    """Remove shards and tables that the manifest does not name, and what killed writers have left half-written."""
    kept = {out / entry.path for entry in (*manifest.shards, manifest.quarantine, manifest.links)}
    for path in (*(out / SHARDS).rglob("*.parquet"), *out.glob("*.parquet")):
        if path not in kept:
            path.unlink()
    for folder in (out / SHARDS).iterdir():
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    remove_temporaries(out)
