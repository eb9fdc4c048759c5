"""Which recordings of a batch may attract or repel each other, and in which order ties are broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bool = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pairs:
    """The eligible pairs of a batch of B recordings.

    Attributes
    ----------
    attracts : bool [B, B]
        Two different recordings. A batch that spans the border of two epochs can hold a recording twice; its copies
        are no pair.
    repels : bool [B, B]
        Recordings of two different patients. A patient whose identity is unknown to the corpus has a key of their
        own; recordings that share a key count as one patient.
    by_id : int64 [recording]
        One position of each recording, sorted by recording id: whoever looks in this order and takes the first of
        equals chooses the same recording wherever it lies in the batch, and a recording that stands twice has no
        better chances than others.
    """

    attracts: Bool
    repels: Bool
    by_id: Int64


def pairs(recording_ids: Sequence[str], patients: Sequence[str]) -> Pairs:
    """Find the eligible pairs of a batch.

    Raises
    ------
    ValueError
        There is not one patient for each recording.
    """
    if len(recording_ids) != len(patients):
        raise ValueError(f"{len(recording_ids)} recording ids but {len(patients)} patients; give one for each")
    _, by_id, recording = np.unique(np.asarray(recording_ids, dtype=str), return_index=True, return_inverse=True)
    patient = np.unique(np.asarray(patients, dtype=str), return_inverse=True)[1]
    attracts: Bool = recording[:, None] != recording[None, :]
    repels: Bool = attracts & (patient[:, None] != patient[None, :])
    return Pairs(attracts=attracts, repels=repels, by_id=by_id.astype(np.int64))
