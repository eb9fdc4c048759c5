"""The cut into shards over a grid: every row once, in order, one split each, partitions whole where they fit."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from hemometric.config import decode, fingerprint
from hemometric.corpus import ColumnsTable, FoldSplit, IngestConfig
from hemometric.corpus.shards import check_rows, cut_shards
from hemometric.errors import UsageError


def staged(num_rows: int, num_patients: int, unit_rows: int, seed: int) -> tuple[pa.Table, list[str], list[dict]]:
    """Rows as they were placed, dealt to units by chance."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(num_rows):
        patient = int(random.integers(num_patients))
        split = ("train", "validation", "test")[patient % 5 % 3]
        rows.append(
            {
                "split": split, "partition": patient * 7 % 64, "patient": f"p{patient:04d}",
                "recording_id": f"r{number:05d}", "bytes": int(random.integers(1, 200)), "shift_days": 0,
            }
        )  # fmt: skip
    random.shuffle(rows)
    names, placed = [], []
    for unit, start in enumerate(range(0, num_rows, unit_rows)):
        names.append(f"unit-{unit}")
        inside = rows[start : start + unit_rows]
        placed += [{**row, "unit": unit, "row": index} for index, row in enumerate(inside)]
    table = pa.Table.from_pylist(placed)
    for name, kind in (("partition", pa.int16()), ("unit", pa.int32()), ("row", pa.int32())):
        table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
    return table, names, placed


def order_of(row: dict) -> tuple:
    return row["split"], row["partition"], row["patient"], row["recording_id"]


@pytest.mark.parametrize("target", [1, 150, 1000, 10_000, 10**9])
@pytest.mark.parametrize(
    ("num_rows", "num_patients", "unit_rows"), [(1, 1, 4), (60, 3, 7), (300, 200, 16), (400, 8, 50)]
)
def test_every_row_once_and_partitions_whole_where_they_fit(
    num_rows: int, num_patients: int, unit_rows: int, target: int
) -> None:
    table, names, placed = staged(num_rows, num_patients, unit_rows, seed=target)
    plans = cut_shards(table, names, target)
    at = {(names[row["unit"]], row["row"]): row for row in placed}
    contents = []
    for plan in plans:
        rows = [at[plan.units[row["unit"]], row["row"]] for row in plan.rows.to_pylist()]
        assert len(rows) == plan.num_rows > 0
        assert [(row["patient"], row["partition"]) for row in rows] == [
            (row["patient"], row["partition"]) for row in plan.rows.to_pylist()
        ]
        assert {row["split"] for row in rows} == {plan.split}
        assert tuple(sorted({row["partition"] for row in rows})) == plan.partitions
        assert rows == sorted(rows, key=order_of)
        contents.append(rows)
    assert len({plan.path for plan in plans}) == len(plans)
    assert Counter(row["recording_id"] for rows in contents for row in rows) == Counter(
        row["recording_id"] for row in placed
    )
    of_partition = Counter()
    for row in placed:
        of_partition[row["split"], row["partition"]] += row["bytes"]
    for (plan, rows), (next_plan, next_rows) in pairwise(zip(plans, contents, strict=True)):
        if plan.split == next_plan.split:
            assert order_of(rows[-1]) < order_of(next_rows[0])
            assert rows[-1]["patient"] != next_rows[0]["patient"]
            if len(plan.partitions) == len(next_plan.partitions) == 1 and plan.partitions == next_plan.partitions:
                assert of_partition[plan.split, plan.partitions[0]] > target  # cut only where it had to be
            else:
                assert not set(plan.partitions) & set(next_plan.partitions)
                whole = sum(of_partition[plan.split, p] for p in plan.partitions)
                following = of_partition[plan.split, next_plan.partitions[0]]
                assert whole + following > target  # as many whole ones as fit
    for plan, rows in zip(plans, contents, strict=True):
        size = sum(row["bytes"] for row in rows)
        if len(plan.partitions) > 1:
            assert size <= target
        largest_patient = Counter()
        for row in rows:
            largest_patient[row["patient"]] += row["bytes"]
        assert size <= target + 2 * max(largest_patient.values())


def test_the_plan_knows_itself_again() -> None:
    table, names, _ = staged(100, 20, 10, seed=1)
    first, again = (cut_shards(table, names, 500) for _ in range(2))
    assert [plan.hash for plan in first] == [plan.hash for plan in again]
    assert len({plan.hash for plan in first}) == len(first) > 3


def test_new_shards_are_numbered_behind_those_that_are_there() -> None:
    table, names, _ = staged(100, 20, 10, seed=1)
    first = cut_shards(table, names, 500)
    behind = cut_shards(table, names, 500, {"train": 7, "validation": 0, "test": 3})
    starts = {"train": 7, "validation": 0, "test": 3}
    for plan, other in zip(first, behind, strict=True):
        number, moved = int(plan.path[-13:-8]), int(other.path[-13:-8])
        assert moved == number + starts[plan.split]
        assert plan.rows.equals(other.rows)


def test_doubled_recordings_are_found() -> None:
    table, _, _ = staged(20, 5, 10, seed=2)
    check_rows(table)
    with pytest.raises(UsageError, match="20 sources have the name of another"):
        check_rows(pa.concat_tables([table, table]))


def test_the_config_is_read_from_a_mapping_and_paths_do_not_change_its_hash() -> None:
    def config(folder: str) -> IngestConfig:
        labels = {"mpcwp_mmhg": {"column": "wedge", "unit": "mmHg", "low": 1, "high": 60}}
        table = {"kind": "columns", "path": f"{folder}/t.csv", "record": "record", "labels": labels}
        return decode(IngestConfig, {"table": table, "split": {"kind": "folds", "test": [0]}})

    assert isinstance(config("a").table, ColumnsTable)
    assert config("a").split == FoldSplit(test=(0,))
    assert fingerprint(config("a")) == fingerprint(config("b")) != fingerprint(IngestConfig())
    with pytest.raises(UsageError, match="did you mean 'shard_bytes'"):
        decode(IngestConfig, {"shard_byte": 1})
    with pytest.raises(UsageError, match="did you mean 'ptbxl'"):
        decode(IngestConfig, {"table": {"kind": "ptb-xl"}})
