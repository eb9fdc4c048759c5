"""Save and load a model as a folder of plain files: weights, description, card; hashed, and never unpickled."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from pydantic import JsonValue
from safetensors import SafetensorError
from torch import nn

from hemometric import __version__
from hemometric.config import checked_path, decode
from hemometric.encoders.configs import EncoderConfig
from hemometric.encoders.description import FORMAT_VERSION, Description, misfit
from hemometric.encoders.encoder import Encoder
from hemometric.encoders.head import Head, HeadConfig
from hemometric.encoders.model import Model
from hemometric.encoders.model_card import model_card
from hemometric.encoders.task import Task
from hemometric.encoders.transfer import load_trunk
from hemometric.errors import IntegrityError, PrecheckError, UsageError
from hemometric.waveform import Preparation

__all__ = ["Model", "Task", "load", "load_trunk", "save"]

ENCODER, HEAD, DESCRIPTION, CARD, SUCCESS = (
    "encoder.safetensors",
    "head.safetensors",
    "model.json",
    "README.md",
    "_SUCCESS",
)
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def save(
    folder: Path | str,
    *,
    encoder: Encoder,
    encoder_config: EncoderConfig,
    head: Head | None = None,
    head_config: HeadConfig | None = None,
    preparation: Preparation,
    task: Task | None = None,
    provenance: Mapping[str, JsonValue],
    metrics: Mapping[str, float],
) -> str:
    """Write a model folder, whole or not at all; a model that is already there is replaced.

    Everything is written and synced beside `folder`, `_SUCCESS` (the SHA-256 of `model.json`) last, and then renamed.
    The same weights and arguments give the same bytes.

    Parameters
    ----------
    folder : path
        Where the model will be; its parents are made.
    encoder, head : nn.Module
        As `encoder_config` and `head_config` build them, on any device; not wrapped for distributed training.
    preparation : Preparation
        The one that the training signals went through.
    task : Task, optional
        What the head estimates; given with a head, and only then.
    provenance : mapping
        ``config_hash``, ``manifest_hash``, ``commit``, ``seed`` and what else tells where the weights come from.
    metrics : mapping
        Scores by name; what is not finite is kept as "not defined".

    Returns
    -------
    str
        The model's hash, as `Model.hash`.

    Raises
    ------
    UsageError
        `folder` holds something that is no model, or cannot be written.
    PrecheckError
        The disk, the quota or the file-size limit is full; what was there before stays.
    IntegrityError
        A weight is not finite.
    ValueError
        Head, its config and task are not given together, or a module is not what its config builds.
    """
    folder = Path(folder)
    if len({head is None, head_config is None, task is None}) > 1:
        raise ValueError("head, head_config and task are given together or not at all")
    description = Description(
        written_by=f"hemometric {__version__}",
        encoder=encoder_config,
        head=head_config,
        task=task,
        preparation=preparation,
        provenance=dict(sorted(provenance.items())),
        metrics={name: float(value) if math.isfinite(value) else None for name, value in sorted(metrics.items())},
        files={},
    )
    encoder_skeleton, head_skeleton = description.skeleton()
    files = {ENCODER: _tensors(encoder, encoder_skeleton, ENCODER)}
    num_parameters = sum(parameter.numel() for parameter in encoder.parameters())
    if head is not None and head_skeleton is not None:
        files[HEAD] = _tensors(head, head_skeleton, HEAD)
        num_parameters += sum(parameter.numel() for parameter in head.parameters())
    files[CARD] = model_card(description, num_parameters).encode()
    description = description.model_copy(update={"files": {name: _sha256(content) for name, content in files.items()}})
    text = json.dumps(description.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
    files[DESCRIPTION] = (text + "\n").encode()
    model_hash = _sha256(files[DESCRIPTION])
    files[SUCCESS] = f"{model_hash}\n".encode()
    try:
        _write(folder, files)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise PrecheckError(
                f"no room left to write model {folder} ({error.strerror}); "
                "free some space and run the same command again"
            ) from None
        raise UsageError(f"model folder {folder} cannot be written: {error.strerror or error}") from error
    return model_hash


def load(path: Path | str, *, device: str | torch.device | None = None) -> Model:
    """Open a model folder; every file is hashed, and nothing in it is executed.

    Parameters
    ----------
    path : path
        A folder that `save` wrote.
    device : str or torch.device, optional
        Where the model computes; ``cuda`` where there is one, else the CPU.

    Raises
    ------
    UsageError
        No such folder, no model in it, or a format that this version does not know.
    IntegrityError
        The folder is incomplete, a file is damaged or changed, or its tensors are not those of the architecture.
    TypeError
        `path` is no path.
    """
    folder = checked_path(path, "a model folder")
    if not folder.is_dir():
        raise UsageError(f"model {folder} {'is a file' if folder.exists() else 'does not exist'}; give a model folder")
    if not (folder / DESCRIPTION).is_file():
        if (folder / SUCCESS).is_file() and (folder / ENCODER).is_file():
            raise IntegrityError(f"model {folder}: {DESCRIPTION} is missing; copy the folder again")
        raise UsageError(f"{folder} is no model folder: it holds no {DESCRIPTION}")
    content = _read(folder, DESCRIPTION)
    _check_version(folder, content)
    model_hash = _sha256(content)
    if not (folder / SUCCESS).is_file():
        raise IntegrityError(f"model {folder} is incomplete: {SUCCESS} is missing; save or copy it again")
    if _read(folder, SUCCESS).decode(errors="replace").strip() != model_hash:
        raise IntegrityError(f"model {folder}: {DESCRIPTION} is damaged or changed; copy the folder again")
    try:
        description = decode(Description, json.loads(content), source=f"model {folder}: {DESCRIPTION}")
    except UsageError as error:
        raise IntegrityError(str(error)) from None
    expected = {ENCODER, CARD} | ({HEAD} if description.head else set())
    if set(description.files) != expected or (description.head is None) != (description.task is None):
        raise IntegrityError(f"model {folder}: {DESCRIPTION} contradicts itself on the head and the files")
    files = {name: _read(folder, name) for name in sorted(expected)}
    for name, digest in description.files.items():
        if _sha256(files[name]) != digest:
            raise IntegrityError(f"model {folder}: {name} is damaged or changed; copy the folder again")
    encoder, head = description.skeleton()
    _fill(encoder, folder / ENCODER, files[ENCODER])
    if head is not None:
        _fill(head, folder / HEAD, files[HEAD])
    return Model(description, encoder, head, model_hash, device)


def _tensors(module: nn.Module, skeleton: nn.Module, name: str) -> bytes:
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in module.state_dict().items()}
    problem = misfit(skeleton, tensors)
    if problem:
        raise ValueError(f"{name}: {problem}; save the module that the config builds")
    for key, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise IntegrityError(f"{name}: tensor {key} holds NaN or infinity; this training diverged and is not saved")
    return safetensors.torch.save(tensors)


def _fill(module: nn.Module, path: Path, content: bytes) -> None:
    try:
        tensors = safetensors.torch.load(content)
    except SafetensorError as error:
        raise IntegrityError(f"model file {path} cannot be read: {error}") from None
    problem = misfit(module, tensors)
    if problem:
        raise IntegrityError(f"model file {path}: {problem}")
    module.load_state_dict(tensors, assign=True)


def _check_version(folder: Path, content: bytes) -> None:
    try:
        version = json.loads(content)["format_version"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise IntegrityError(f"model {folder}: {DESCRIPTION} is damaged: it is not a description of a model") from None
    if version != FORMAT_VERSION:
        raise UsageError(
            f"model {folder} has format {version!r}, and this hemometric {__version__} reads {FORMAT_VERSION}; "
            "use the version that wrote it"
        )


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        raise IntegrityError(f"model {folder}: {name} is missing; copy the folder again") from None
    except OSError as error:
        raise UsageError(f"model {folder}: {name} cannot be read: {error.strerror}") from None


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files in their order beside `folder`, then put them in its place."""
    if folder.exists() and not (folder / DESCRIPTION).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is no model folder; choose another, or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Fixed names: what a killed process left behind is cleared by the next save.
    new, old = folder.with_name(f".{folder.name}.saving"), folder.with_name(f".{folder.name}.replaced")
    for leftover in (new, old):
        if leftover.exists():
            shutil.rmtree(leftover)
    new.mkdir()
    try:
        for name, content in files.items():
            with (new / name).open("wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
        _sync_folder(new)
    except OSError:
        shutil.rmtree(new, ignore_errors=True)  # a disk that is full needs the room back
        raise
    if folder.exists():
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    _sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
