"""Splits: by patient, for ever, in whole hundredths; or by fold."""

import pytest
from pydantic import TypeAdapter, ValidationError

from hemometric.corpus import SPLITS, FoldSplit, HashSplit, Key, SplitConfig
from hemometric.corpus.split import NUM_PARTITIONS, partition_of

KEY = Key(b"k" * 32)


def test_hash_split_keeps_its_fractions() -> None:
    found = [HashSplit().assign(KEY, str(patient), None) for patient in range(20_000)]
    shares = [found.count(split) / len(found) for split in SPLITS]
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.015)


def test_hash_split_puts_bins_in_order() -> None:
    for patient in map(str, range(300)):
        position = KEY.bucket(patient, 100)
        expected = "train" if position < 29 else "validation" if position < 58 else "test"
        # 0.29 and 0.58 are below 29 and 58 hundredths in floating point
        assert HashSplit(train=0.29, validation=0.29, test=0.42).assign(KEY, patient, None) == expected


@pytest.mark.parametrize(
    ("fractions", "word"),
    [((0.5, 0.2, 0.2), "add up"), ((0.605, 0.195, 0.2), "hundredths"), ((1.2, -0.1, -0.1), "equal to")],
)
def test_hash_split_refuses_other_fractions(fractions: tuple[float, float, float], word: str) -> None:
    train, validation, test = fractions
    with pytest.raises(ValidationError, match=word):
        HashSplit(train=train, validation=validation, test=test)


def test_fold_split_takes_the_folds_that_it_names() -> None:
    split = FoldSplit(train=(1, 2), validation=(3,), test=(4,))
    assert [split.assign(KEY, "p", fold) for fold in (1, 2, 3, 4, 5, None)] == [
        "train", "train", "validation", "test", None, None,
    ]  # fmt: skip
    with pytest.raises(ValidationError, match="two places"):
        FoldSplit(train=(1, 2), validation=(2,), test=(3,))


def test_union_is_told_apart_by_kind() -> None:
    adapter: TypeAdapter[object] = TypeAdapter(SplitConfig)
    assert adapter.validate_json('{"kind": "folds", "test": [0]}') == FoldSplit(test=(0,))
    assert adapter.validate_json('{"kind": "hash"}') == HashSplit()


def test_partitions_are_64() -> None:
    assert {partition_of(KEY, str(patient)) for patient in range(2000)} == set(range(NUM_PARTITIONS)) == set(range(64))
