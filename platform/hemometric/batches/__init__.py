"""Who sits in a batch, and in which order: pure in (what is known of the recordings, seed, step), for any world."""

from typing import Annotated

from pydantic import Field

from hemometric.batches.label_batches import LabelBatches, LabelOrder
from hemometric.batches.neighbour_batches import NeighbourBatches, NeighbourOrder
from hemometric.batches.order import BatchOrder, Order, Positions, deal, permutation
from hemometric.batches.pair_batches import PairBatches, PairOrder
from hemometric.batches.participant_batches import ParticipantBatches
from hemometric.batches.patient_batches import PatientBatches, PatientOrder
from hemometric.batches.random_batches import RandomBatches
from hemometric.batches.roster import Roster
from hemometric.batches.site_batches import SiteBatches, SiteOrder

BatchesConfig = Annotated[
    RandomBatches | NeighbourBatches | PatientBatches | ParticipantBatches | LabelBatches | SiteBatches | PairBatches,
    Field(discriminator="kind"),
]

__all__ = [
    "BatchOrder",
    "BatchesConfig",
    "LabelBatches",
    "LabelOrder",
    "NeighbourBatches",
    "NeighbourOrder",
    "Order",
    "PairBatches",
    "PairOrder",
    "ParticipantBatches",
    "PatientBatches",
    "PatientOrder",
    "Positions",
    "RandomBatches",
    "Roster",
    "SiteBatches",
    "SiteOrder",
    "deal",
    "permutation",
]
