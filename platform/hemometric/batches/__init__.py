"""Who sits in a batch, and in which order: pure in (number of recordings, seed, step), dealt out to any world."""

from typing import Annotated

from pydantic import Field

from hemometric.batches.neighbour_batches import NeighbourBatches, NeighbourOrder
from hemometric.batches.order import BatchOrder, Order, Positions, deal
from hemometric.batches.random_batches import RandomBatches

BatchesConfig = Annotated[RandomBatches | NeighbourBatches, Field(discriminator="kind")]

__all__ = [
    "BatchOrder",
    "BatchesConfig",
    "NeighbourBatches",
    "NeighbourOrder",
    "Order",
    "Positions",
    "RandomBatches",
    "deal",
]
