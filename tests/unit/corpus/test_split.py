"""Splits: by patient, for ever, in whole hundredths; or by fold."""

from datetime import date, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from hemometric.corpus import SPLITS, DateSplit, FoldSplit, HashSplit, Key, SiteSplit, SplitConfig
from hemometric.corpus.split import NUM_PARTITIONS, partition_of

KEY = Key(b"k" * 32)


def test_hash_split_keeps_its_fractions() -> None:
    found = [HashSplit().of_patient(KEY, str(patient)) for patient in range(20_000)]
    shares = [found.count(split) / len(found) for split in SPLITS]
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.015)


def test_hash_split_puts_bins_in_order() -> None:
    for patient in map(str, range(300)):
        position = KEY.bucket(patient, 100)
        expected = "train" if position < 29 else "validation" if position < 58 else "test"
        # 0.29 and 0.58 are below 29 and 58 hundredths in floating point
        assert HashSplit(train=0.29, validation=0.29, test=0.42).of_patient(KEY, patient) == expected


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
    assert [split.of_recording(fold, None, None) for fold in (1, 2, 3, 4, 5, None)] == [
        "train", "train", "validation", "test", None, None,
    ]  # fmt: skip
    assert FoldSplit().why_none(90001, None, None) == "has a fold that no split names", (
        "a number of the wrong column may be a patient's"
    )
    with pytest.raises(ValidationError, match="two places"):
        FoldSplit(train=(1, 2), validation=(2,), test=(3,))


def test_site_split_takes_the_sites_that_it_names_and_the_others_where_it_may() -> None:
    named = SiteSplit(train=("a",), validation=("b",), test=("c",))
    others = SiteSplit(validation=("b",), test=("c",))
    sites = ("a", "b", "c", "d", None)
    assert [named.of_recording(None, site, None) for site in sites] == ["train", "validation", "test", None, None]
    assert [others.of_recording(None, site, None) for site in sites] == ["train", "validation", "test", "train", None]
    assert "no split names" in named.why_none(None, "d", None)
    assert SiteSplit(test=("c",)).of_recording(None, "b", None) == "train", "no site need validate"
    with pytest.raises(ValidationError, match="site b stands in two places"):
        SiteSplit(validation=("b",), test=("b",))


def test_date_split_takes_days_as_they_were_written() -> None:
    split = DateSplit(validation_from=date(2019, 1, 1), test_from=date(2020, 1, 1))
    times = [datetime(2018, 12, 31, 23, 59), datetime(2019, 1, 1), datetime(2019, 12, 31), datetime(2020, 1, 1), None]
    assert [split.of_recording(None, None, time) for time in times] == [
        "train", "validation", "validation", "test", None,
    ]  # fmt: skip
    with pytest.raises(ValidationError, match="must not be after"):
        DateSplit(validation_from=date(2020, 1, 2), test_from=date(2020, 1, 1))


def test_union_is_told_apart_by_kind() -> None:
    adapter: TypeAdapter[object] = TypeAdapter(SplitConfig)
    assert adapter.validate_json('{"kind": "folds", "test": [0]}') == FoldSplit(test=(0,))
    assert adapter.validate_json('{"kind": "hash"}') == HashSplit()
    dates = DateSplit(validation_from=date(2019, 1, 1), test_from=date(2020, 1, 1))
    assert adapter.validate_json(dates.model_dump_json()) == adapter.validate_python(dates.model_dump()) == dates


def test_partitions_are_64() -> None:
    assert {partition_of(KEY, str(patient)) for patient in range(2000)} == set(range(NUM_PARTITIONS)) == set(range(64))
