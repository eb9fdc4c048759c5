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
        Two different recordings of two different groups, both present. A batch that spans the border of two epochs
        can hold a recording twice; its copies are no pair.
    repels : bool [B, B]
        Such recordings of two different patients. A patient whose identity is unknown to the corpus has a key of
        their own; recordings that share a key count as one patient.
    by_id : int64 [recording]
        One position of each recording, sorted by recording id: whoever looks in this order and takes the first of
        equals chooses the same recording wherever it lies in the batch, and a recording that stands twice has no
        better chances than others.
    recording : int64 [B]
        The place in `by_id` of each position's recording.
    """

    attracts: Bool
    repels: Bool
    by_id: Int64
    recording: Int64


def pairs(
    recording_ids: Sequence[str],
    patients: Sequence[str],
    groups: Sequence[str] | None = None,
    present: Bool | None = None,
) -> Pairs:
    """Find the eligible pairs of a batch.

    Parameters
    ----------
    recording_ids, patients : B str
    groups : B str, optional
        Recordings that share one are copies of one ECG, such as two exports of it: they neither attract nor repel
        each other. None makes each recording a group of its own.
    present : bool [B], optional
        Those that are not neither attract nor repel anyone (see `comparable`).

    Raises
    ------
    ValueError
        There is not one patient, one group or one sign of presence for each recording.
    """
    for name, values in (
        ("patients", patients),
        ("groups", recording_ids if groups is None else groups),
        ("signs of presence", recording_ids if present is None else present),
    ):
        if len(recording_ids) != len(values):
            raise ValueError(f"{len(recording_ids)} recording ids but {len(values)} {name}; give one for each")
    _, by_id, recording = np.unique(np.asarray(recording_ids, dtype=str), return_index=True, return_inverse=True)
    attracts: Bool = recording[:, None] != recording[None, :]
    if groups is not None:
        attracts &= _differ(groups)
    if present is not None:
        attracts &= present[:, None] & present[None, :]
    repels: Bool = attracts & _differ(patients)
    return Pairs(attracts=attracts, repels=repels, by_id=by_id.astype(np.int64), recording=recording.astype(np.int64))


def _differ(names: Sequence[str]) -> Bool:
    number = np.unique(np.asarray(names, dtype=str), return_inverse=True)[1]
    different: Bool = number[:, None] != number[None, :]
    return different
