"""Who sits in a batch, and in which order: pure in (number of recordings, seed, step), dealt out to any world."""

from hemometric.batches.order import Order, deal
from hemometric.batches.random_batches import BatchesConfig, RandomBatches

__all__ = ["BatchesConfig", "Order", "RandomBatches", "deal"]
