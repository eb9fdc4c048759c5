"""Where each recording goes: duplicates found, their patients linked, one split for all that are linked.

A pure function of the rows: who was in the corpus before stays where they are, whatever comes later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hemometric.corpus.former_splits import UNSAID
from hemometric.corpus.pseudonyms import Key
from hemometric.corpus.split import SPLITS, FoldSplit, HashSplit, SplitConfig, partition_of
from hemometric.errors import IntegrityError

DUPLICATE = "duplicate"
ACROSS = "linked_across_splits"

Int64 = npt.NDArray[np.int64]

PLACED_COLUMNS = pa.schema(
    [
        pa.field("recording_id", pa.string()),
        pa.field("patient", pa.string()),
        pa.field("split", pa.string()),
        pa.field("was_in", pa.string()),
        pa.field("is_old", pa.bool_()),
        pa.field("num_leads", pa.int32()),
        pa.field("rate_hz", pa.float64()),
        pa.field("num_samples", pa.int32()),
    ]
)
"""What `place` needs of each recording.

Of one that is in the corpus already (`is_old`), patient and split are those that it has. Of a new one, patient is its
own pseudonym, and split what it asks for: null where the patient decides. A new one that was in the corpus before, and
left it, may lie in the split that it `was_in` only; in none where that names no split.
"""


@dataclass(frozen=True, eq=False)
class Placement:
    """What becomes of each row, in the order of the rows.

    Attributes
    ----------
    patient : string
        The name under which its patient goes.
    split : string
    partition : int16
    reason : string
        Why it is left out: `DUPLICATE` or `ACROSS`; null where it is kept.
    same_as : string
        Of a duplicate, the recording that is kept.
    was_in : string
        The split outside which it may not lie: where it, or another recording of the same ECG, is or was.
    links : pyarrow.Table
        ``patient`` and ``known_as``, of each pseudonym that goes under another name; sorted.
    """

    patient: pa.Array
    split: pa.Array
    partition: pa.Array
    reason: pa.Array
    same_as: pa.Array
    was_in: pa.Array
    links: pa.Table


def place(rows: pa.Table, duplicates: Int64, links: pa.Table, split: SplitConfig, key: Key) -> Placement:
    """Decide for all recordings together.

    Parameters
    ----------
    rows : pyarrow.Table
        See `PLACED_COLUMNS`.
    duplicates : int64 [pair, 2]
        Rows that are the same ECG.
    links : pyarrow.Table
        From earlier ingests into this corpus; see `Placement.links`.

    Raises
    ------
    IntegrityError
        Given folds put one patient into several splits.
    """
    names, patient_of = _numbered(rows["patient"], links)
    asked = _numbers(rows["split"])
    is_old = rows["is_old"].to_numpy()
    if isinstance(split, FoldSplit):
        _refuse_split_patients(patient_of[~is_old], asked[~is_old])
    linked = np.concatenate([patient_of[duplicates], _pairs_of(links, names)])
    component_of = connected_components(_graph(linked, len(names)), directed=False)[1].astype(np.int64)
    component = component_of[patient_of]

    old_split, old_name = _known(component, patient_of, asked, is_old, names, len(names))
    name = np.where(old_name >= 0, old_name, _first_name(component_of, names))
    target = np.full(len(names), -1, np.int64)
    if isinstance(split, HashSplit):
        for one in np.unique(component[~is_old]):
            if old_split[one] < 0:
                target[one] = SPLITS.index(split.of_patient(key, names[name[one]]))
    else:
        np.maximum.at(target, component[~is_old], asked[~is_old])
    target = np.where(old_split >= 0, old_split, target)

    new_name = name[component]
    patient = np.where(is_old, patient_of, new_name)
    home = _homes(rows, duplicates, asked)
    across = np.any([(wanted >= 0) & (wanted != target[component]) for wanted in (asked, home)], axis=0)
    kept = _kept_instead(rows, duplicates, across)
    reason = np.where(kept >= 0, DUPLICATE, np.where(across, ACROSS, ""))
    used, inverse = np.unique(patient, return_inverse=True)
    partition = np.array([partition_of(key, names[one]) for one in used], np.int16)[inverse]
    array = np.array(names, dtype=object)
    places = np.array([*SPLITS, UNSAID, None], dtype=object)
    return Placement(
        patient=pa.array(array[patient], pa.string()),
        split=pa.array(places[target[component]], pa.string()),
        partition=pa.array(partition),
        reason=pa.array(reason, pa.string(), mask=reason == ""),
        same_as=rows["recording_id"].combine_chunks().take(pa.array(kept, mask=kept < 0)),
        was_in=pa.array(places[home], pa.string()),
        links=_links(names, name[component_of]),
    )


def brings_links(links: pa.Table, known: pa.Table) -> bool:
    """Whether links join patients that are not known as one yet."""
    known_as = dict(zip(known["patient"].to_pylist(), known["known_as"].to_pylist(), strict=True))
    pairs = zip(links["patient"].to_pylist(), links["known_as"].to_pylist(), strict=True)
    return any(known_as.get(one, one) != known_as.get(other, other) for one, other in pairs)


def first_names(links: pa.Table) -> dict[str, str]:
    """Give, for each patient whom links join to others, the first name of them all; those who have it are left out."""
    names, _ = _numbered(links["patient"], links)
    component_of = connected_components(_graph(_pairs_of(links, names), len(names)), directed=False)[1]
    first = _first_name(component_of.astype(np.int64), names)[component_of]
    return {name: names[place] for name, place in zip(names, first.tolist(), strict=True) if names[place] != name}


def _numbered(patients: pa.ChunkedArray, links: pa.Table) -> tuple[list[str], Int64]:
    """Number all pseudonyms in alphabetical order; give the names, and the number of each row's patient."""
    everyone = pa.concat_arrays(
        [*(array.combine_chunks() for array in (patients, links["patient"], links["known_as"]))]
    )
    names = pc.unique(everyone)
    names = names.take(pc.sort_indices(names))
    return names.to_pylist(), pc.index_in(patients.combine_chunks(), names).to_numpy().astype(np.int64)


def _numbers(splits: pa.ChunkedArray) -> Int64:
    """Give each split's place in `SPLITS`, -1 for null."""
    places: Int64 = pc.fill_null(pc.index_in(splits.combine_chunks(), pa.array(SPLITS)), -1).to_numpy().astype(np.int64)
    return places


def _refuse_split_patients(patient: Int64, asked: Int64) -> None:
    pairs = np.unique(np.stack([patient, asked], axis=1), axis=0)
    num_across = int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())
    if num_across:
        raise IntegrityError(
            f"the folds put {num_across} patients into more than one split; put all recordings of a patient into "
            "the same fold, or use split.kind: hash"
        )


def _pairs_of(links: pa.Table, names: Sequence[str]) -> Int64:
    everyone = pa.array(names, pa.string())
    ends = [pc.index_in(links[column].combine_chunks(), everyone) for column in ("patient", "known_as")]
    return np.stack([end.to_numpy() for end in ends], axis=1).astype(np.int64)


def _graph(pairs: Int64, num: int) -> coo_array:
    return coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(num, num))


def _known(
    component: Int64, patient: Int64, asked: Int64, is_old: npt.NDArray[np.bool_], names: Sequence[str], num: int
) -> tuple[Int64, Int64]:
    """Give, for each component, the strictest split that it has in the corpus and its first patient there; -1: none."""
    old_split = np.full(num, -1, np.int64)
    np.maximum.at(old_split, component[is_old], asked[is_old])
    is_there = is_old & (asked == old_split[component])
    old_name = np.full(num, len(names), np.int64)
    np.minimum.at(old_name, component[is_there], patient[is_there])
    return old_split, np.where(old_name < len(names), old_name, -1)


def _homes(rows: pa.Table, duplicates: Int64, asked: Int64) -> Int64:
    """Give the split outside which a row may not lie: a place in `SPLITS`, one behind them for none, -1 for any.

    A new recording of an ECG that is or was in a split is held to it, whatever its name.
    """
    is_old = rows["is_old"].to_numpy()
    nowhere = len(SPLITS)
    was_in = _numbers(rows["was_in"])
    was_in[pc.is_valid(rows["was_in"]).to_numpy() & (was_in < 0)] = nowhere
    home = np.where(is_old, asked, was_in)
    if len(duplicates):
        involved, group = _groups(duplicates)
        mine = home[involved]
        low, high = np.full(len(involved), nowhere), np.full(len(involved), -1)
        np.minimum.at(low, group, np.where(mine >= 0, mine, nowhere))
        np.maximum.at(high, group, mine)
        agreed = np.where((high >= 0) & (low != high), nowhere, high)
        home[involved] = np.where(is_old[involved], mine, agreed[group])
    return home


def _groups(duplicates: Int64) -> tuple[Int64, Int64]:
    """Give the rows that are the same as another one, and the number of each one's group."""
    involved, local = np.unique(duplicates, return_inverse=True)
    group = connected_components(_graph(local.reshape(-1, 2), len(involved)), directed=False)[1]
    return involved, group.astype(np.int64)


def _first_name(component_of: Int64, names: Sequence[str]) -> Int64:
    first = np.full(len(names), len(names), np.int64)
    np.minimum.at(first, component_of, np.arange(len(names)))
    return first


def _kept_instead(rows: pa.Table, duplicates: Int64, across: npt.NDArray[np.bool_]) -> Int64:
    """Of recordings that are the same, keep one that is there already, else the one that holds most.

    One that is left out for its split takes nobody's place.

    Returns
    -------
    int64 [row]
        The row that is kept in a duplicate's place; -1 for all others.
    """
    instead = np.full(len(rows), -1, np.int64)
    if not len(duplicates):
        return instead
    involved, group = _groups(duplicates)
    some = rows.take(pa.array(involved))
    is_old = some["is_old"].to_numpy()
    best_first = np.lexsort(
        (
            pc.rank(some["recording_id"].combine_chunks()).to_numpy(),
            -some["num_samples"].to_numpy(),
            -some["rate_hz"].to_numpy(),
            -some["num_leads"].to_numpy(),
            ~is_old,
            across[involved],
        )
    )
    _, first = np.unique(group[best_first], return_index=True)
    kept = best_first[first][group]
    goes = (kept != np.arange(len(involved))) & ~is_old & ~across[involved][kept]
    instead[involved[goes]] = involved[kept[goes]]
    return instead


def _links(names: Sequence[str], name: Int64) -> pa.Table:
    renamed = np.flatnonzero(name != np.arange(len(names))).tolist()
    columns = [[names[one] for one in renamed], [names[name[one]] for one in renamed]]
    return pa.table([pa.array(column, pa.string()) for column in columns], names=["patient", "known_as"])
