"""Checkpoints as folders that are there whole or not at all.

    FOLDER/step-00000100/state.pt        tensors and plain values, read with ``weights_only=True``
    FOLDER/step-00000100/manifest.json   step, fingerprint, corpus hash, sha256 and size of the state, validation loss
    FOLDER/step-00000100/_SUCCESS        sha256 of the manifest, written last

Everything is written under a temporary name, flushed to the disk, and renamed. One process writes (the main rank), and
nobody else writes to the folder meanwhile.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hemometric.corpus.files import usable
from hemometric.errors import IntegrityError, PrecheckError, UsageError

_LOG = logging.getLogger(__name__)
_SCHEMA = 1
_NAME = re.compile(r"step-(\d{8,})")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

State = dict[str, Any]
"""Tensors, numbers, strings, None, and lists and dicts of them: what ``weights_only`` loading takes."""


@dataclass(frozen=True)
class Checkpoint:
    """One valid checkpoint.

    Attributes
    ----------
    folder : Path
    step : int
        Steps done when it was taken.
    validation_loss : float or None
        Of this very state, where it was validated.
    sha256 : str
        Of the state's bytes.
    """

    folder: Path
    step: int
    validation_loss: float | None
    sha256: str

    def read(self) -> bytes:
        """Read the state's bytes.

        Raises
        ------
        IntegrityError
            They are not the bytes of the manifest.
        """
        content = (self.folder / "state.pt").read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise IntegrityError(f"checkpoint {self.folder.name}: state.pt changed on disk; delete that folder")
        return content

    def load(self) -> State:
        """Read the state, tensors on the CPU; see `read` and `decode_state`."""
        return decode_state(self.read())


def encode_state(state: State) -> bytes:
    """Turn a state into bytes; in memory, so that a full disk is met as an OSError by our own write."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def decode_state(content: bytes) -> State:
    """Turn bytes into a state, running no code from them.

    Raises
    ------
    IntegrityError
        Not a state, or one that holds more than tensors and plain values.
    """
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its zip and pickle readers meet
        raise IntegrityError(f"checkpoint state refused: {type(error).__name__}; delete that checkpoint") from error
    if not isinstance(state, dict):
        raise IntegrityError("checkpoint state refused: not a mapping; delete that checkpoint")
    return state


class CheckpointStore:
    """The checkpoints of one run in one folder, the last `keep` and the best of them.

    Attributes
    ----------
    warnings : list of str
        One sentence for each checkpoint that was passed over as damaged or incomplete.
    """

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        if keep < 1:
            raise UsageError(f"checkpoints to keep: {keep}; at least 1 is needed to resume")
        self.folder = folder
        self.keep = keep
        self.warnings: list[str] = []

    def save(
        self, step: int, state: State, *, fingerprint: str, manifest_hash: str, validation_loss: float | None = None
    ) -> Path:
        """Write a checkpoint, then remove those no longer kept; a folder of the same step is replaced.

        Raises
        ------
        PrecheckError
            The disk is full or refuses; nothing half-written stays behind.
        """
        target = self.folder / f"step-{step:08d}"
        temporary = self.folder / f".tmp-{target.name}"
        content = encode_state(state)
        manifest = {
            "schema": _SCHEMA,
            "step": step,
            "fingerprint": fingerprint,
            "manifest_hash": manifest_hash,
            "state_sha256": hashlib.sha256(content).hexdigest(),
            "state_bytes": len(content),
            "validation_loss": validation_loss,
        }
        text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False).encode()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in self.folder.glob(".tmp-*"):
                shutil.rmtree(leftover)
            temporary.mkdir()
            _write(temporary / "state.pt", content)
            _write(temporary / "manifest.json", text)
            _write(temporary / "_SUCCESS", hashlib.sha256(text).hexdigest().encode())
            _sync_folder(temporary)
            if target.exists():
                self._discard(target)
            temporary.rename(target)
            _sync_folder(self.folder)
            self._prune(step)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            reason = "no space" if error.errno in _FULL else (error.strerror or type(error).__name__)
            raise PrecheckError(
                f"checkpoint {target.name} ({len(content) / 1e6:.1f} MB) cannot be written to {self.folder}: {reason}; "
                "put that right and run the same command again"
            ) from error
        return target

    def latest(self, *, fingerprint: str, manifest_hash: str) -> Checkpoint | None:
        """Find the newest checkpoint that is whole, or None where none was ever taken.

        Raises
        ------
        UsageError
            It belongs to another config or another corpus.
        IntegrityError
            There are checkpoints, and not one is whole: going on would silently start again from nothing.
        """
        folders = self._folders()
        for folder in folders:
            checkpoint = self._checked(folder, fingerprint, manifest_hash)
            if checkpoint is not None:
                return checkpoint
        if folders:
            raise IntegrityError(
                f"none of the {len(folders)} checkpoints in {self.folder} is whole ({'; '.join(self.warnings)}); "
                "restore one, or delete the folder to start again"
            )
        return None

    def best(self, *, fingerprint: str, manifest_hash: str) -> Checkpoint | None:
        """Find the whole checkpoint of the lowest validation loss, the earliest of equals; None without any."""
        best: Checkpoint | None = None
        for folder in self._folders():
            checkpoint = self._checked(folder, fingerprint, manifest_hash)
            if checkpoint is None or checkpoint.validation_loss is None:
                continue
            if best is None or best.validation_loss is None or checkpoint.validation_loss <= best.validation_loss:
                best = checkpoint
        return best

    def _folders(self) -> list[Path]:
        """Checkpoint folders, the newest first."""
        if not self.folder.is_dir():
            return []
        with usable(self.folder, "checkpoints", to="read", remedy="make it readable, or choose another out"):
            found = [(int(match[1]), path) for path in self.folder.iterdir() if (match := _NAME.fullmatch(path.name))]
        return [path for _, path in sorted(found, reverse=True)]

    def _checked(self, folder: Path, fingerprint: str, manifest_hash: str) -> Checkpoint | None:
        try:
            manifest = _read_manifest(folder)
            checkpoint = Checkpoint(
                folder=folder,
                step=int(manifest["step"]),
                validation_loss=manifest["validation_loss"],
                sha256=str(manifest["state_sha256"]),
            )
            checkpoint.read()
        except (OSError, IntegrityError, KeyError, ValueError) as error:
            reason = str(error) if isinstance(error, IntegrityError) else f"checkpoint {folder.name} is incomplete"
            if reason not in self.warnings:
                self.warnings.append(reason)
                _LOG.warning("%s; passed over", reason)
            return None
        for name, found, wanted in (
            ("config", manifest["fingerprint"], fingerprint),
            ("corpus", manifest["manifest_hash"], manifest_hash),
        ):
            if found != wanted:
                raise UsageError(
                    f"the checkpoints in {self.folder} belong to {name} {found}, this run has {name} {wanted}; "
                    "take the config and the corpus they were made with, or another output folder"
                )
        return checkpoint

    def _prune(self, newest: int) -> None:
        """Remove what is neither among the last `keep` up to `newest` nor the best; manifests alone decide."""
        known = dict(self._summaries())
        kept = [step for step in sorted(known, reverse=True) if step <= newest][: self.keep]
        losses = [(loss, step) for step, (_, loss) in known.items() if loss is not None]
        if losses:
            kept.append(min(losses)[1])
        for step, (folder, _) in known.items():
            if step <= newest and step not in kept:
                self._discard(folder)

    def _summaries(self) -> Iterator[tuple[int, tuple[Path, float | None]]]:
        for folder in self._folders():
            try:
                loss = _read_manifest(folder)["validation_loss"]
            except (OSError, IntegrityError, KeyError, ValueError):
                loss = None
            yield int(folder.name.removeprefix("step-")), (folder, loss)

    def _discard(self, folder: Path) -> None:
        """Rename first: a removal that is cut short never leaves something that looks like a checkpoint."""
        doomed = self.folder / f".tmp-old-{folder.name}"
        shutil.rmtree(doomed, ignore_errors=True)
        folder.rename(doomed)
        shutil.rmtree(doomed)


def _read_manifest(folder: Path) -> dict[str, Any]:
    text = (folder / "manifest.json").read_bytes()
    if (folder / "_SUCCESS").read_bytes().strip() != hashlib.sha256(text).hexdigest().encode():
        raise IntegrityError(f"checkpoint {folder.name}: manifest.json is damaged or _SUCCESS is not its own")
    manifest = json.loads(text)
    if not isinstance(manifest, dict) or manifest.get("schema") != _SCHEMA:
        raise IntegrityError(f"checkpoint {folder.name}: written by another version")
    return manifest


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
