"""Mining whole batches: one process, two ranks, every distance; and warping along time, not across leads."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import get_args

import numpy as np
import pytest

from hemometric.config import decode, dump, fingerprint
from hemometric.distances import DistanceConfig, DtwDistance, EuclideanDistance
from hemometric.ecg import INDEPENDENT_LEADS, LEADS
from hemometric.errors import IntegrityError, UsageError
from hemometric.mining import (
    BatchMiner,
    Fine,
    Miner,
    MiningConfig,
    NearestMiner,
    RandomMiner,
    RefineConfig,
    WholeRecord,
)

SCRIPT = Path(__file__).with_name("two_ranks.py")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mining_two_ranks", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, np.ndarray]]:
    """What two processes mined, each the same batches."""
    folder = tmp_path_factory.mktemp("two_ranks")
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-W",
                "error",
                str(SCRIPT),
                str(folder / "store"),
                str(folder / f"{rank}.npz"),
                str(rank),
                "2",
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=90)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], errors
    return [dict(np.load(folder / f"{rank}.npz")) for rank in range(2)]


def test_two_ranks_mine_exactly_what_one_process_mines(ranks: list[dict[str, np.ndarray]], script: ModuleType) -> None:
    for number, config in enumerate(script.CONFIGS):
        for which in range(len(script.NUM)):
            alone = script.arrays(script.mine(script.miner(config), which, 0, 1, None))
            assert alone["triplets"].shape[1] > 0
            for rank in ranks:
                for name, array in alone.items():
                    np.testing.assert_array_equal(rank[f"{number}/{which}/{name}"], array)


def test_a_shuffled_batch_gives_the_same_triplets_by_recording(
    ranks: list[dict[str, np.ndarray]], script: ModuleType
) -> None:
    # Batches 1 and 2 hold the same recordings, but belong to different epochs: mine the second as the first's epoch.
    first, second = script.Batch(1), script.Batch(2)
    assert first.recording_ids != second.recording_ids
    for number, config in enumerate(script.CONFIGS):
        mined = script.miner(config).mine(second.signals, np.arange(18), second.recording_ids, second.patients, epoch=1)
        by_id = [
            np.array(batch.recording_ids)[t]
            for batch, t in ((first, ranks[0][f"{number}/1/triplets"]), (second, script.arrays(mined)["triplets"]))
        ]
        assert sorted(map(tuple, by_id[0].T)) == sorted(map(tuple, by_id[1].T))


def test_what_one_rank_alone_holds_wrong_every_rank_refuses(
    ranks: list[dict[str, np.ndarray]], script: ModuleType
) -> None:
    bad = script.Batch(0).recording_ids[2 * 2 + 1]
    for rank in ranks:
        signal, order = rank["refusals"].tolist()
        assert f"1 signals of a batch are not finite (recordings {bad})" in signal
        assert "different batches" in order


@pytest.mark.parametrize(
    "distance", [member() for member in get_args(get_args(DistanceConfig)[0])], ids=lambda d: d.kind
)
@pytest.mark.parametrize("num", [7, 8])
def test_distances_are_those_of_all_pairs(distance: DistanceConfig, num: int) -> None:
    signals = np.random.default_rng(0).normal(size=(num, 12, 60)).astype(np.float32)
    ids = [f"r{i}" for i in range(num)]
    work = MiningConfig(distance=distance, threads=1).build(rate_hz=100, leads=LEADS, seed=0)
    mined = work.mine(signals, np.arange(num), ids, ids, 0)
    rows = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]
    expected = distance.build().pairwise(np.ascontiguousarray(signals[:, rows]), threads=1)
    np.testing.assert_allclose(mined.distances.numpy(), expected, rtol=1e-5)


def test_a_copy_shifted_in_time_is_nearest_by_dtw_and_not_by_euclid() -> None:
    # The published code handed the transposed signal to DTW, which then warped across leads: it did not see a shift.
    time_s = np.arange(300) / 100
    shape = np.array([1.0, -0.6, 0.4])[:, None]

    def beats(offset_s: float, amplitude: float = 1.0) -> np.ndarray:
        spike = sum(np.exp(-(((time_s - centre - offset_s) / 0.03) ** 2)) for centre in (0.5, 1.4, 2.3))
        return amplitude * shape * spike

    signals = np.stack([beats(0), beats(0.15), 0.0 * beats(0), beats(0, 0.4)]).astype(np.float32)
    ids = ["anchor", "shifted", "flat", "small"]

    def nearest(distance: DtwDistance | EuclideanDistance) -> str:
        config = MiningConfig(compared=WholeRecord(leads="all"), distance=distance, threads=1)
        mined = config.build(rate_hz=100, leads=("I", "II", "V1"), seed=0).mine(signals, np.arange(4), ids, ids, 0)
        return ids[int(mined.positives[0])]

    assert nearest(DtwDistance(window=0.1)) == "shifted"
    assert nearest(EuclideanDistance()) == "small"


def test_warming_up_compiles_for_the_compared_leads_and_finds_what_does_not_fit() -> None:
    asked: list[int] = []

    class Noting:
        def warm_up(self, num_leads: int) -> None:
            asked.append(num_leads)

    def work(rate_hz: float, miner: Miner) -> BatchMiner:
        return BatchMiner(WholeRecord().build(), Noting(), miner, rate_hz=rate_hz, leads=LEADS, seed=0)

    work(250, NearestMiner().build()).warm_up()
    work(250, RandomMiner().build()).warm_up()
    assert asked == [8]
    with pytest.raises(UsageError, match="prepared at 50 Hz"):
        work(50, NearestMiner().build()).warm_up()
    MiningConfig(distance=DtwDistance()).build(rate_hz=100, leads=LEADS, seed=0).warm_up()


def test_rows_that_are_not_the_ranks_own_are_refused() -> None:
    work = MiningConfig(distance=EuclideanDistance()).build(rate_hz=100, leads=LEADS, seed=0)
    signals = np.zeros((4, 12, 50), np.float32)
    ids = ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="rank 0 of 1 needs positions 0, 1"):
        work.mine(signals, np.array([1, 0, 2, 3]), ids, ids, 0)
    with pytest.raises(ValueError, match="rank 1 of 2 needs positions 1, 3"):
        work.mine(signals[:2], np.array([2, 3]), ids, ids, 0, rank=1, world=2)
    with pytest.raises(ValueError, match="3 signals for 4 positions"):
        work.mine(signals[:3], np.arange(4), ids, ids, 0)


def test_a_signal_with_a_gap_is_refused_by_name() -> None:
    work = MiningConfig(distance=EuclideanDistance()).build(rate_hz=100, leads=LEADS, seed=0)
    signals = np.zeros((3, 12, 50), np.float32)
    signals[1, 5, 7] = np.nan
    with pytest.raises(IntegrityError, match=r"1 signals of a batch are not finite \(recordings b\)"):
        work.mine(signals, np.arange(3), ["a", "b", "c"], ["p", "q", "r"], 0)


@pytest.mark.parametrize("refine", [None, RefineConfig(compared=WholeRecord(rate_hz=100), candidates=3)])
def test_a_recording_with_nothing_to_compare_is_counted_and_in_no_triplet(refine: RefineConfig | None) -> None:
    # A flat signal is nearer to small ones than they are to each other.
    signals = np.random.default_rng(0).normal(size=(8, 12, 100)).astype(np.float32)
    signals[3] = 0
    ids = [f"r{i}" for i in range(8)]
    config = MiningConfig(
        compared=WholeRecord(rate_hz=50),
        distance=EuclideanDistance(),
        refine=refine,
    )
    mined = config.build(rate_hz=100, leads=LEADS, seed=0).mine(signals, np.arange(8), ids, ids, 0)
    assert mined.distances[0].argsort()[1] == 3 or refine is not None
    assert mined.fallbacks == {"absent": 1}
    assert mined.num_triplets == 7
    assert not any((positions == 3).any() for positions in mined.as_tuple())
    assert not mined.valid[3].any()


def test_what_only_the_fine_comparison_lacks_stays_behind_in_the_coarse_order() -> None:
    class Fading:
        """Nothing is left of recording 1 at the fine rate."""

        def __call__(self, signals: np.ndarray, rate_hz: float, leads: object) -> np.ndarray:
            fine = signals.copy()
            fine[1] = 0
            return fine

    signals = np.zeros((5, 12, 50), np.float32)
    signals += np.array([1, 2, 4, 7, 11], np.float32)[:, None, None]
    ids = [f"r{i}" for i in range(5)]
    config = MiningConfig(distance=EuclideanDistance())
    work = BatchMiner(
        config.compared.build(),
        config.distance.build(),
        config.miner.build(),
        rate_hz=100,
        leads=LEADS,
        seed=0,
        fine=Fine(Fading(), 3),
    )
    mined = work.mine(signals, np.arange(5), ids, ids, 0)
    assert [row.tolist() for row in mined.distances.argsort(dim=1)] == [
        [0, 2, 3, 1, 4],  # 1 is the coarse nearest of 0, and the last of its candidates
        [1, 0, 2, 3, 4],
        [2, 0, 3, 1, 4],
        [3, 2, 4, 1, 0],
        [4, 3, 2, 1, 0],
    ]


def test_the_config_reads_from_yaml_and_threads_do_not_change_what_is_computed() -> None:
    data = {
        "compared": {"kind": "whole", "rate_hz": 50, "gain": "record"},
        "distance": {"kind": "dtw", "window": 0.05},
        "miner": {"kind": "nearest", "negatives": {"kind": "farthest", "k": 3}, "scaling": "local"},
    }
    config = decode(MiningConfig, data)
    assert isinstance(config.miner, NearestMiner)
    assert config.miner.negatives.kind == "farthest"
    assert "scaling: local" in dump(config)
    assert fingerprint(decode(MiningConfig, data, ["threads=3"])) == fingerprint(config)
    assert fingerprint(decode(MiningConfig, data, ["miner.scaling_neighbour=3"])) != fingerprint(config)
    with pytest.raises(UsageError, match="nearest"):
        decode(MiningConfig, data, ["miner.kind=nearst"])
