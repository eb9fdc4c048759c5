"""A trained model that prepares recordings by itself, and refuses those that don't fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hemometric.ecg import Float32, Recording, Rejected
from hemometric.encoders.admission import NOT_MILLIVOLTS, admit, gates_of, told, typical_deviations
from hemometric.encoders.description import Description
from hemometric.encoders.encoder import Encoder
from hemometric.encoders.head import Head
from hemometric.encoders.task import Task
from hemometric.errors import UsageError
from hemometric.waveform import Preparation, QualityConfig

BATCH_SIZE = 128


class Model:
    """An encoder, perhaps a head, and the preparation that both were trained with.

    Parameters
    ----------
    description : Description
        The content of the model's `model.json`.
    encoder, head : nn.Module
        Modules with their weights; they are put into evaluation mode.
    model_hash : str
        SHA-256 of `model.json`, which holds those of all other files.
    device : str or torch.device, optional
        Where it computes; ``cuda`` where there is one, else the CPU.
    """

    def __init__(
        self,
        description: Description,
        encoder: Encoder,
        head: Head | None,
        model_hash: str,
        device: str | torch.device | None = None,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.description = description
        self.encoder = encoder.to(self.device).eval().requires_grad_(False)
        self.head = head.to(self.device).eval().requires_grad_(False) if head else None
        self.hash = model_hash

    @property
    def preparation(self) -> Preparation:
        """What recordings go through before the encoder sees them."""
        return self.description.preparation

    @property
    def task(self) -> Task | None:
        """What the head estimates; None without a head."""
        return self.description.task

    @property
    def embedding_dim(self) -> int:
        """Size of the embedding."""
        return self.encoder.embedding_dim

    @property
    def identity(self) -> str:
        """A short name of exactly this model, for tables that it fills: kind, embedding size, start of its hash."""
        return f"{self.description.encoder.kind}-{self.embedding_dim}-{self.hash[:12]}"

    def refusals(self, recordings: Sequence[Recording], *, quality: QualityConfig | None = None) -> dict[int, Rejected]:
        """Find the recordings that `embed` and `predict` would refuse.

        Parameters
        ----------
        quality : QualityConfig, optional
            Thresholds of the gates, those of `hemometric.waveform.assess` unless given. Its ``required_leads`` are
            not used: the model's own leads are required.

        Returns
        -------
        dict of int to Rejected
            The reason for each position in the list, counted from 0; empty where all fit.
        """
        _require_recordings(recordings)
        gates = gates_of(self.preparation, quality)
        judged = enumerate(admit(recording, self.preparation, gates) for recording in recordings)
        return {index: found for index, found in judged if isinstance(found, Rejected)}

    def embed(
        self,
        recordings: Sequence[Recording],
        *,
        batch_size: int = BATCH_SIZE,
        quality: QualityConfig | None = None,
    ) -> Float32:
        """Embed recordings of any rate, length and lead order.

        Parameters
        ----------
        quality : QualityConfig, optional
            Thresholds of the gates that every recording must pass; see `refusals`.

        Returns
        -------
        float32 [n, dim]
            In the order of the recordings; neither order nor `batch_size` changes a row beyond float rounding.

        Raises
        ------
        UsageError
            Recordings do not pass the gates, or cannot be prepared as the model needs them; the message gives their
            positions and reasons, never their keys.
        """
        return self._run(self._prepared(recordings, batch_size, quality), self.encoder, (self.embedding_dim,))

    def predict(
        self,
        recordings: Sequence[Recording],
        *,
        batch_size: int = BATCH_SIZE,
        quality: QualityConfig | None = None,
    ) -> Float32:
        """Estimate the label of recordings: float32 [n] in the task's unit, or a probability.

        Raises
        ------
        UsageError
            The model has no head, or recordings do not fit as in `embed`.
        """
        estimate = self._estimator()
        return self._run(self._prepared(recordings, batch_size, quality), estimate, ())

    def embed_prepared(self, signals: npt.NDArray[np.float32], *, batch_size: int = BATCH_SIZE) -> Float32:
        """Embed signals [n, lead, sample] in mV that this model's preparation made: float32 [n, dim].

        Raises
        ------
        UsageError
            They have another shape than the preparation gives, are not float32, not finite, or not millivolts.
        """
        return self._run(self._checked(signals, batch_size), self.encoder, (self.embedding_dim,))

    def predict_prepared(self, signals: npt.NDArray[np.float32], *, batch_size: int = BATCH_SIZE) -> Float32:
        """Estimate the label of signals [n, lead, sample] in mV that this model's preparation made: float32 [n].

        Raises
        ------
        UsageError
            The model has no head, or the signals do not fit as in `embed_prepared`.
        """
        estimate = self._estimator()
        return self._run(self._checked(signals, batch_size), estimate, ())

    def require_preparation(self, preparation: Preparation) -> None:
        """Refuse signals that were prepared otherwise than this model's.

        Raises
        ------
        UsageError
            Naming the fields that differ.
        """
        theirs, ours = preparation.model_dump(), self.preparation.model_dump()
        differing = [
            f"{name} {theirs[name]!r} (the model's is {ours[name]!r})" for name in ours if theirs[name] != ours[name]
        ]
        if differing:
            raise UsageError(
                f"these signals are prepared otherwise than the model's: {', '.join(differing)}; prepare them again"
            )

    def _estimator(self) -> Callable[[Tensor], Tensor]:
        head, task = self.head, self.task
        if head is None or task is None:
            raise UsageError("this model has no head and can only embed; fine-tune it on a label to predict")

        def estimate(signals: Tensor) -> Tensor:
            return task.estimates(head(self.encoder(signals)))

        return estimate

    def _prepared(
        self, recordings: Sequence[Recording], batch_size: int, quality: QualityConfig | None
    ) -> Iterator[Float32]:
        """Prepare in batches; after the first refusal the rest is only judged, so that all are named at once."""
        _require_recordings(recordings)
        gates = gates_of(self.preparation, quality)
        refused: dict[int, Rejected] = {}
        for first in _starts(len(recordings), batch_size):
            rows = []
            for index, recording in enumerate(recordings[first : first + batch_size], start=first):
                found = admit(recording, self.preparation, gates)
                if isinstance(found, Rejected):
                    refused[index] = found
                else:
                    rows.append(found)
            if not refused:
                yield np.stack(rows)
        if refused:
            raise UsageError(told(refused, len(recordings)))

    def _checked(self, signals: npt.NDArray[np.float32], batch_size: int) -> Iterator[Float32]:
        shape = (len(self.preparation.leads), self.preparation.num_samples)
        if signals.ndim != 3 or signals.shape[1:] != shape:
            wanted = f"[n, {shape[0]}, {shape[1]}]"
            raise UsageError(
                f"prepared signals have shape {list(signals.shape)}; this model's preparation gives {wanted}"
            )
        if signals.dtype != np.float32:
            raise UsageError(f"prepared signals are {signals.dtype}; give float32 millivolts")
        for first in _starts(len(signals), batch_size):
            yield _in_millivolts(np.array(signals[first : first + batch_size]), first)  # a copy: maps are read-only

    def _run(self, batches: Iterator[Float32], forward: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> Float32:
        rows = [np.empty((0, *shape), dtype=np.float32)]
        with torch.no_grad():
            rows += [forward(torch.from_numpy(batch).to(self.device)).float().cpu().numpy() for batch in batches]
        return np.concatenate(rows)


def _require_recordings(recordings: Sequence[Recording]) -> None:
    if isinstance(recordings, Recording):
        raise UsageError("one recording was given; give a list of them, [recording]")
    for index, recording in enumerate(recordings):
        if not isinstance(recording, Recording):
            raise UsageError(f"recording {index} is a {type(recording).__name__}; give hemometric.ecg.Recording")


def _starts(num_rows: int, batch_size: int) -> range:
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}; give 1 or more")
    return range(0, num_rows, batch_size)


def _in_millivolts(signals: Float32, first: int) -> Float32:
    finite = np.isfinite(signals).all(axis=(1, 2))
    if not finite.all():
        raise UsageError(f"signal {first + int(np.argmin(finite))} holds NaN or infinity; prepare it again")
    deviation = typical_deviations(signals)
    if deviation.max() > NOT_MILLIVOLTS:
        worst = int(deviation.argmax())
        raise UsageError(
            f"signal {first + worst} typically lies {deviation[worst]:.3g} from its median, too far for millivolts; "
            "are these microvolts or counts? Set the gain"
        )
    return signals
