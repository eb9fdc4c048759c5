"""Give the gradients of every objective as one rank of several: ``python two_ranks.py STORE OUT RANK WORLD``.

A test starts it; without the command line it is the same model in one process on the joined batch.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hemometric.mining import Mined, NearestMiner, SemihardMiner, SofthardMiner
from hemometric.objectives import (
    AngularObjective,
    GlobalBatch,
    KoLeoObjective,
    LandmarkObjective,
    MarginObjective,
    MultiSimilarityObjective,
    NoMetric,
    NtXentObjective,
    RelativeObjective,
    SumObjective,
    SupervisedObjective,
    Term,
    TripletObjective,
    gather,
    pretrain_loss,
)

NUM = 16
PRETRAIN = {
    "triplet": TripletObjective(),
    "triplet soft normalised": TripletObjective(soft=True, normalised=True, squared=False),
    "relative": RelativeObjective(),
    "margin": MarginObjective(),
    "angular": AngularObjective(),
    "multi_similarity": MultiSimilarityObjective(),
    "nt_xent": NtXentObjective(),
    "nt_xent of patients": NtXentObjective(positives="patient"),
    "nt_xent of pairs": NtXentObjective(positives="pair"),
    "nt_xent of mined": NtXentObjective(positives="mined"),
    "landmark": LandmarkObjective(num=3),
    "koleo": KoLeoObjective(),
    "sum": SumObjective(
        terms=(
            Term(objective=NtXentObjective()),
            Term(weight=0.5, objective=RelativeObjective()),
            Term(weight=0.1, objective=KoLeoObjective()),
        )
    ),
}
SUPERVISED = {
    "rmse": SupervisedObjective(alpha=2.0),
    "mse without metric": SupervisedObjective(metric=NoMetric(), task_loss="mse"),
    "rmse with margin": SupervisedObjective(metric=MarginObjective()),
    "bce": SupervisedObjective(task_loss="bce"),
    "semihard": SupervisedObjective(miner=SemihardMiner(tolerance_mmhg=6.0, margin=9.0)),
    "softhard with margin": SupervisedObjective(miner=SofthardMiner(tolerance_mmhg=6.0), metric=MarginObjective()),
}


@dataclass(frozen=True)
class World:
    """Anything with a size will do."""

    size: int


class Model(nn.Module):
    """A linear encoder and head before an objective, as a learner holds them."""

    def __init__(self, name: str) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.encoder, self.head = nn.Linear(5, 4), nn.Linear(4, 1)
        self.name = name
        torch.manual_seed(2)
        if name in PRETRAIN:
            self.objective: nn.Module = pretrain_loss(PRETRAIN[name], 4)
            self.head = nn.Identity()  # DistributedDataParallel wants every parameter in the loss
        elif name == "bce":
            self.objective = SUPERVISED[name].build(threshold=15.0)
        else:
            self.objective = SUPERVISED[name].build(scale_mean=15.0, scale_sd=8.0)
        self.double()
        with torch.no_grad():
            for layer in (self.encoder, self.head):
                for parameter in layer.parameters():
                    parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))

    def forward(self, signals: Tensor, targets: Tensor, world: World) -> Tensor:
        if self.name in PRETRAIN:
            views = self.encoder(torch.stack([signals, signals.roll(1, dims=1)], dim=1))
            everyone = GlobalBatch.of(*names(), signals.device, mined())
            loss, _ = self.objective(gather(views, world).transpose(0, 1), everyone)
        else:
            z = self.encoder(signals)
            outputs = gather(self.head(z).squeeze(1), world)
            loss, _ = self.objective(gather(z, world), outputs, gather(targets, world), *names(), seed=0, epoch=0)
        return loss


def data() -> tuple[Tensor, Tensor]:
    """The joined batch; labels are missing unevenly: one of eight on rank 0, five on rank 1."""
    rng = np.random.default_rng(0)
    targets = rng.normal(15, 8, NUM)
    targets[[0, 1, 3, 5, 9, 11]] = np.nan
    return torch.from_numpy(rng.normal(size=(NUM, 5))), torch.from_numpy(targets)


def names() -> tuple[list[str], list[str]]:
    return [f"r{i * 7 % 16:02d}" for i in range(NUM)], [f"p{i // 2}" for i in range(NUM)]


def mined() -> Mined:
    points = np.random.default_rng(3).normal(size=(NUM, 3))
    distances = ((points[:, None] - points[None, :]) ** 2).sum(-1).astype(np.float32)
    found = NearestMiner().build().select((distances + distances.T) / 2, *names(), 0, 0)
    return replace(found, landmark_distances=torch.from_numpy(points))


def gradients(model: nn.Module) -> dict[str, np.ndarray]:
    return {
        name: parameter.grad.numpy().copy()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def joined(name: str) -> dict[str, np.ndarray]:
    """The loss and gradients of one process."""
    model = Model(name)
    loss = model(*data(), World(1))
    loss.backward()
    return gradients(model) | {"loss": loss.detach().numpy()}


def check_plain_gather(rank: int, world: int) -> None:
    """Values of every type in the global order; gradients summed over ranks."""
    for dtype in (torch.int64, torch.int32, torch.bool, torch.float32, torch.float64):
        whole = torch.arange(4 * world).reshape(-1, 2, 1).to(dtype)
        out = gather(whole[rank::world], world)
        assert torch.equal(out, whole)
        assert out.dtype == dtype
        assert not out.requires_grad
    rows = torch.arange(6.0 * world, dtype=torch.float64).reshape(-1, 2)
    local = rows[rank::world].clone().requires_grad_()
    # Not contiguous, used twice, and weighed differently by each rank.
    out = gather(local.T.contiguous().T, World(world))
    weights = torch.arange(len(rows), dtype=torch.float64)[:, None] * (rank + 1)
    ((weights * out).sum() + out.sum()).backward()
    scale = sum(r + 1 for r in range(world))
    expected = (torch.arange(len(rows), dtype=torch.float64)[:, None] * scale + world).expand(-1, 2)[rank::world]
    assert local.grad is not None
    assert torch.equal(local.grad, expected)
    # The sum is taken of a copy: the gradient that comes in belongs to others too.
    incoming = torch.ones_like(rows)
    gather(local, world).backward(incoming)
    assert torch.equal(incoming, torch.ones_like(rows))


def main(store: str, out: str, rank: int, world: int) -> None:
    dist.init_process_group(
        "gloo", store=dist.FileStore(store, world), rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    check_plain_gather(rank, world)
    signals, targets = (values[rank::world] for values in data())
    result: dict[str, np.ndarray] = {}
    for name in (*PRETRAIN, *SUPERVISED):
        model = Model(name)
        parallel = DistributedDataParallel(model)
        loss = parallel(signals, targets, World(world))
        loss.backward()
        result |= {f"{name}/{key}": value for key, value in gradients(model).items()}
        result[f"{name}/loss"] = loss.detach().numpy()
    np.savez(out, **result)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
