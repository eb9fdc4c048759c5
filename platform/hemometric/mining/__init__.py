"""Who attracts and who repels: index tuples for pytorch-metric-learning, from distances between signals or labels.

`BatchMiner` compares the recordings of a global batch (`WholeRecord`, `MedianBeat`), measures how far apart they are
and lets a `Miner` choose; label miners choose by a label; `Ahead` does it one batch before it is needed. Choices are
pure functions of (distances, recording ids, patients, seed, epoch), so that every rank makes the same ones.
"""

from hemometric.mining.ahead import Ahead
from hemometric.mining.batch_miner import BatchMiner, Fine
from hemometric.mining.compared import Compared, ComparedConfig, MedianBeat, WholeRecord, comparable
from hemometric.mining.configs import LabelMinerConfig, MinerConfig, MiningConfig, check_measure, measure_hash
from hemometric.mining.hard_label_miner import SemihardMiner, SofthardMiner
from hemometric.mining.hubs import HUB_FRACTION, MAX_HUB_SHARE, HubCounter
from hemometric.mining.kept_triplets import KeptTriplets, keep, read_triplets, write_triplets
from hemometric.mining.label_miner import LabelMiner, NPairMiner
from hemometric.mining.label_selection import LabelSelection, Triplets
from hemometric.mining.landmarks import Landmarks
from hemometric.mining.mined import Mined
from hemometric.mining.miner import Miner
from hemometric.mining.nearest_miner import NearestMiner
from hemometric.mining.negatives import FarthestNegatives, NegativesConfig, RandomNegatives, SemihardRankNegatives
from hemometric.mining.neighbour_graph import GraphConfig, NeighbourGraph, read_graph
from hemometric.mining.positives import (
    GraphPositives,
    NearestPositives,
    PositivesConfig,
    RandomOfNearestPositives,
)
from hemometric.mining.random_miner import RandomMiner
from hemometric.mining.refinement import RefineConfig
from hemometric.mining.tally import MiningTally

__all__ = [
    "HUB_FRACTION",
    "MAX_HUB_SHARE",
    "Ahead",
    "BatchMiner",
    "Compared",
    "ComparedConfig",
    "FarthestNegatives",
    "Fine",
    "GraphConfig",
    "GraphPositives",
    "HubCounter",
    "KeptTriplets",
    "LabelMiner",
    "LabelMinerConfig",
    "LabelSelection",
    "Landmarks",
    "MedianBeat",
    "Mined",
    "Miner",
    "MinerConfig",
    "MiningConfig",
    "MiningTally",
    "NPairMiner",
    "NearestMiner",
    "NearestPositives",
    "NegativesConfig",
    "NeighbourGraph",
    "PositivesConfig",
    "RandomMiner",
    "RandomNegatives",
    "RandomOfNearestPositives",
    "RefineConfig",
    "SemihardMiner",
    "SemihardRankNegatives",
    "SofthardMiner",
    "Triplets",
    "WholeRecord",
    "check_measure",
    "comparable",
    "keep",
    "measure_hash",
    "read_graph",
    "read_triplets",
    "write_triplets",
]
