"""Where recordings go: one split for all that are linked, nobody moves, duplicates once; a slow loop agrees."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from hemometric.corpus import SPLITS, FoldSplit, HashSplit, Key, SiteSplit
from hemometric.corpus.placement import ACROSS, DUPLICATE, PLACED_COLUMNS, Placement, place
from hemometric.corpus.schema import LINKS_SCHEMA
from hemometric.corpus.split import SplitConfig, partition_of
from hemometric.errors import IntegrityError

KEY = Key(b"k" * 32)
SITES = SiteSplit(validation=("v",), test=("t",))


def row(
    name: str, patient: str, split: str | None = None, *, old: bool = False, leads: int = 12, was_in: str | None = None
) -> dict:
    return {
        "recording_id": name, "patient": patient, "split": split, "was_in": was_in, "is_old": old, "num_leads": leads,
        "rate_hz": 500.0, "num_samples": 5000,
    }  # fmt: skip


def placed(
    rows: Sequence[dict],
    duplicates: Sequence[tuple[int, int]] = (),
    links: Sequence[tuple[str, str]] = (),
    split: SplitConfig = SITES,
) -> Placement:
    known = pa.Table.from_pylist([dict(zip(LINKS_SCHEMA.names, link, strict=True)) for link in links], LINKS_SCHEMA)
    pairs = np.array(duplicates, np.int64).reshape(-1, 2)
    return place(pa.Table.from_pylist(list(rows), PLACED_COLUMNS), pairs, known, split, KEY)


def test_a_patient_alone_keeps_the_own_name_and_the_split_of_its_hash() -> None:
    rows = [row(f"r{number}", f"p{number // 2}") for number in range(200)]
    found = placed(rows, split=HashSplit())
    assert found.patient.to_pylist() == [one["patient"] for one in rows]
    assert found.split.to_pylist() == [HashSplit().of_patient(KEY, one["patient"]) for one in rows]
    assert found.partition.to_pylist() == [partition_of(KEY, one["patient"]) for one in rows]
    assert found.reason.null_count == len(rows)
    assert len(found.links) == 0


def test_the_same_ecg_under_two_names_makes_one_patient() -> None:
    rows = [row("r1", "b"), row("r2", "a"), row("r3", "b"), row("r4", "c")]
    found = placed(rows, [(0, 1)], split=HashSplit())
    assert found.patient.to_pylist() == ["a", "a", "a", "c"]
    assert len(set(found.split.to_pylist()[:3])) == 1
    assert found.reason.to_pylist() == [None, DUPLICATE, None, None]
    assert found.links.to_pylist() == [{"patient": "b", "known_as": "a"}]


def test_of_duplicates_the_one_that_holds_most_is_kept() -> None:
    rows = [row("r1", "a", leads=8), row("r2", "a"), row("r3", "a"), row("r4", "a", leads=3)]
    assert placed(rows, [(0, 1), (2, 3), (1, 2)], split=HashSplit()).reason.to_pylist() == [
        DUPLICATE, None, DUPLICATE, DUPLICATE,
    ]  # fmt: skip
    rows[3]["is_old"], rows[3]["split"] = True, "train"
    assert placed(rows, [(0, 1), (2, 3), (1, 2)], split=HashSplit()).reason.to_pylist()[3] is None


def test_a_recording_of_a_stricter_split_takes_the_patient_along_and_the_others_are_left_out() -> None:
    rows = [row("r1", "a", "train"), row("r2", "a", "test"), row("r3", "b", "validation"), row("r4", "b", "train")]
    found = placed(rows)
    assert found.split.to_pylist() == ["test", "test", "validation", "validation"]
    assert found.reason.to_pylist() == [ACROSS, None, None, ACROSS]


def test_a_duplicate_never_takes_the_place_of_one_that_is_kept() -> None:
    rows = [row("r1", "a", "train"), row("r2", "b", "test", leads=8)]
    found = placed(rows, [(0, 1)])
    assert found.reason.to_pylist() == [DUPLICATE, None], "r1 holds more, but belongs to a patient who tests"


def test_a_link_found_later_moves_nobody() -> None:
    old = [row("r1", "a", "train", old=True), row("r2", "b", "test", old=True), row("r3", "c", "train", old=True)]
    new = [row("r4", "a"), row("r5", "c"), row("r6", "a")]
    found = placed([*old, *new], [(1, 3)], split=HashSplit())
    assert found.reason.to_pylist() == [ACROSS, None, None, DUPLICATE, None, None]
    assert found.patient.to_pylist() == ["a", "b", "c", "b", "c", "b"], "what is there keeps its name"
    assert found.split.to_pylist()[4:] == ["train", "test"]
    assert found.links.to_pylist() == [{"patient": "a", "known_as": "b"}]


@pytest.mark.parametrize("was_in", ["train", "validation", "the corpus"])
def test_what_was_in_another_split_does_not_come_back(was_in: str) -> None:
    old = [row("r1", "b", "test", old=True)]
    found = placed([*old, row("r2", "b", was_in=was_in), row("r3", "b", was_in="test")], split=HashSplit())
    assert found.reason.to_pylist() == [None, ACROSS, None]
    assert found.was_in.to_pylist() == ["test", was_in, "test"]


def test_a_new_copy_of_what_leaves_for_its_split_leaves_too() -> None:
    old = [row("r1", "a", "train", old=True), row("r2", "b", "test", old=True)]
    new = [row("r3", "a"), row("r4", "c", leads=13), row("r5", "a")]
    found = placed([*old, *new], [(0, 2), (0, 3)], links=[("a", "b")], split=HashSplit())
    assert found.reason.to_pylist() == [ACROSS, None, ACROSS, ACROSS, None], "r5 is an ECG that nobody has learnt from"
    assert found.same_as.null_count == 5
    assert found.was_in.to_pylist() == ["train", "test", "train", "train", None]


def test_copies_of_what_was_in_two_splits_are_in_none() -> None:
    rows = [row("r1", "a", was_in="train"), row("r2", "a", was_in="test"), row("r3", "a")]
    assert placed(rows, [(0, 1), (1, 2)], split=HashSplit()).reason.to_pylist() == [ACROSS] * 3


def test_links_hold_when_their_reason_is_gone() -> None:
    old = [row("r2", "b", "test", old=True)]
    found = placed([*old, row("r7", "a")], links=[("a", "b")], split=HashSplit())
    assert (found.patient.to_pylist()[1], found.split.to_pylist()[1]) == ("b", "test")


def test_given_folds_that_split_a_patient_are_refused_but_a_link_is_no_fault_of_theirs() -> None:
    rows = [row("r1", "a", "train"), row("r2", "a", "test"), row("r3", "b", "train")]
    with pytest.raises(IntegrityError, match="the folds put 1 patients into more than one split"):
        placed(rows, split=FoldSplit())
    linked = placed([rows[0], row("r2", "b", "test")], [(0, 1)], split=FoldSplit())
    assert sorted(map(str, linked.reason.to_pylist())) == ["None", DUPLICATE]


def homes(rows: Sequence[dict], duplicates: Sequence[tuple[int, int]]) -> list[set[str]]:
    """Splits that each row, or another one of the same ECG, is or was in."""
    same = [{index} for index in range(len(rows))]
    for first, second in duplicates:
        merged = same[first] | same[second]
        for index in merged:
            same[index] = merged
    own = [one["split"] if one["is_old"] else one["was_in"] for one in rows]
    return [
        {own[index]} if rows[index]["is_old"] else {own[other] for other in same[index]} - {None}
        for index in range(len(rows))
    ]


def slow(rows: Sequence[dict], duplicates: Sequence[tuple[int, int]], split: SplitConfig) -> list[tuple]:
    """(patient, split, left out for the split) by merging sets until nothing changes."""
    held = homes(rows, duplicates)
    groups = {one["patient"]: {one["patient"]} for one in rows}
    for first, second in duplicates:
        merged = groups[rows[first]["patient"]] | groups[rows[second]["patient"]]
        for patient in merged:
            groups[patient] = merged
    found = []
    for one, home in zip(rows, held, strict=True):
        mine = [other for other in rows if other["patient"] in groups[one["patient"]]]
        old = [other for other in mine if other["is_old"]]
        if old:
            target = max((other["split"] for other in old), key=SPLITS.index)
            name = min(other["patient"] for other in old if other["split"] == target)
        else:
            name = min(groups[one["patient"]])
            asked = [other["split"] for other in mine]
            is_hash = isinstance(split, HashSplit)
            target = split.of_patient(KEY, name) if is_hash else max(asked, key=SPLITS.index)
        found.append(
            (one["patient"] if one["is_old"] else name, target, not home | {one["split"] or target} <= {target})
        )
    return found


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("split", [HashSplit(), SITES], ids=["hash", "sites"])
def test_it_agrees_with_a_slow_loop(split: SplitConfig, seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows, home = [], {}
    for number in range(40):
        patient, old = f"p{draw.integers(12):02d}", bool(draw.random() < 0.4)
        asked = None if isinstance(split, HashSplit) and not old else str(draw.choice(SPLITS))
        if old:
            asked = home.setdefault(patient, asked)  # a corpus holds a patient in one split
        was_in = None if old or draw.random() < 0.8 else str(draw.choice(SPLITS))
        rows.append(row(f"r{number:02d}", patient, asked, old=old, leads=int(draw.integers(6, 13)), was_in=was_in))
    duplicates = [tuple(draw.integers(40, size=2).tolist()) for _ in range(int(draw.integers(0, 6)))]
    found = placed(rows, duplicates, split=split)
    kept = [one if one != DUPLICATE else None for one in found.reason.to_pylist()]
    for index, (patient, target, across) in enumerate(slow(rows, duplicates, split)):
        assert (found.patient[index].as_py(), found.split[index].as_py()) == (patient, target)
        if found.reason[index].as_py() != DUPLICATE:
            assert (kept[index] == ACROSS) == across
    # All that is kept of linked patients lies in one split, and each ECG is kept once, or was there before.
    for first, second in duplicates:
        both = [index for index in {first, second} if found.reason[index].as_py() is None]
        assert len(both) <= 1 or all(rows[index]["is_old"] for index in both) or first == second
