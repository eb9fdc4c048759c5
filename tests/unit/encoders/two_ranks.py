"""What one of two ranks computes: `python two_ranks.py RANK FOLDER` writes FOLDER/RANK.safetensors."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hemometric.encoders import GlobalBatchNorm1d, HeadConfig, NormKind, ResNet1dConfig, dropout_keys

WORLD = 2
NUM_STEPS = 2
SHAPES = {"rows": (8, 6), "signals": (8, 6, 10)}
DTYPES = {"float64": torch.float64, "float32": torch.float32}
SPLITS = {"dealt": (slice(0, None, 2), slice(1, None, 2)), "unequal": (slice(0, 5), slice(5, None))}
MODEL = ResNet1dConfig(blocks=(1, 1), widths=(4, 8), stem_kernel=5, kernel=3, embedding_dim=6)
BATCH, LEADS, SAMPLES = 8, 3, 60


def norm_case(shape: str, dtype: str) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
    """Inputs and gradients of the outputs, joined, of each step; weight and bias. Far from zero mean and unit scale."""
    draw = torch.Generator().manual_seed(5)
    size = SHAPES[shape]
    inputs = [torch.randn(size, generator=draw, dtype=torch.float64) * 3 + 7 for _ in range(NUM_STEPS)]
    upstream = [torch.randn(size, generator=draw, dtype=torch.float64) for _ in range(NUM_STEPS)]
    weight, bias = torch.randn(2, size[1], generator=draw, dtype=torch.float64)
    as_dtype = DTYPES[dtype]
    return [x.to(as_dtype) for x in inputs], [g.to(as_dtype) for g in upstream], weight.to(as_dtype), bias.to(as_dtype)


def run_norm(norm: nn.BatchNorm1d, shape: str, dtype: str, rows: slice) -> dict[str, Tensor]:
    """Train a norm on some rows: outputs and input gradients of each step, weight gradients, buffers."""
    inputs, upstream, weight, bias = norm_case(shape, dtype)
    norm = norm.to(DTYPES[dtype])
    norm.load_state_dict({**norm.state_dict(), "weight": weight, "bias": bias})
    result = {}
    for step in range(NUM_STEPS):
        x = inputs[step][rows].clone().requires_grad_()
        output = norm(x)
        output.backward(upstream[step][rows])
        result[f"output{step}"], result[f"gradient{step}"] = output.detach(), x.grad
    result |= {"weight": norm.weight.grad, "bias": norm.bias.grad}
    return result | {name: buffer.clone() for name, buffer in norm.named_buffers()}


class Model(nn.Module):
    """Encoder and head in one module, as training wraps them."""

    def __init__(self, norm: NormKind) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.encoder = MODEL.model_copy(update={"norm": norm}).build(LEADS)
        self.head = HeadConfig(hidden=8).build(MODEL.embedding_dim, norm)

    def forward(self, signals: Tensor) -> tuple[Tensor, Tensor]:
        embeddings = self.encoder(signals)
        return embeddings, self.head(embeddings)


def run_model(norm: NormKind, dtype: str, rows: slice) -> dict[str, Tensor]:
    """Forward and backward some rows in training: outputs, gradients of the sum of losses of all rows, buffers."""
    as_dtype = DTYPES[dtype]
    draw = torch.Generator().manual_seed(11)
    signals = torch.randn(BATCH, LEADS, SAMPLES, generator=draw, dtype=torch.float64).to(as_dtype)
    targets = torch.randn(BATCH, generator=draw, dtype=torch.float64).to(as_dtype)
    keys = torch.randint(-(2**62), 2**62, (BATCH,), generator=draw)
    model = Model(norm).to(as_dtype)
    num_ranks = dist.get_world_size() if dist.is_initialized() else 1
    trained = DistributedDataParallel(model) if num_ranks > 1 else model
    with dropout_keys(keys[rows], step=4, seed=9):
        embeddings, outputs = trained(signals[rows])
    loss = (outputs - targets[rows]).square().sum() + 0.1 * embeddings.square().sum()
    loss.backward()
    result = {"embeddings": embeddings.detach(), "outputs": outputs.detach()}
    # DistributedDataParallel averages over ranks; the loss of the joined batch is the sum.
    result |= {f"gradient.{name}": tensor.grad * num_ranks for name, tensor in model.named_parameters()}
    return result | {f"buffer.{name}": buffer.clone() for name, buffer in model.named_buffers()}


def noting(collective: Callable[..., object], groups: list[object]) -> Callable[..., object]:
    """Let a collective note the group that it was called with."""

    def call(*arguments: object, group: object = None) -> object:
        groups.append(group)
        return collective(*arguments, group=group)

    return call


def main(rank: int, folder: Path) -> None:
    """Join the other rank through a file and compute everything."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), WORLD)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=WORLD)
    alone = [dist.new_group([member]) for member in range(WORLD)][rank]
    both = dist.new_group([0, 1])
    results: dict[str, Tensor] = {}

    def keep(case: str, tensors: dict[str, Tensor]) -> None:
        results.update({f"{case}/{name}": tensor.contiguous() for name, tensor in tensors.items()})

    for dtype in DTYPES:
        for shape, (_, num_channels, *_) in SHAPES.items():
            for split, rows in SPLITS.items():
                keep(
                    f"norm/{dtype}/{shape}/{split}", run_norm(GlobalBatchNorm1d(num_channels), shape, dtype, rows[rank])
                )
        keep(f"model/{dtype}", run_model("global", dtype, SPLITS["dealt"][rank]))
    rows = SPLITS["dealt"][rank]
    groups: list[object] = []
    for name in ("all_gather", "all_reduce"):
        setattr(dist, name, noting(getattr(dist, name), groups))
    keep("given", run_norm(GlobalBatchNorm1d(6, group=both), "signals", "float64", rows))
    keep("groups", {"are_the_given": torch.tensor([group is both for group in groups])})
    keep("alone", run_norm(GlobalBatchNorm1d(6, group=alone), "signals", "float64", rows))
    keep("local_model", run_model("batch", "float64", rows))
    evaluated = GlobalBatchNorm1d(6).eval()
    keep("evaluated", {"output": evaluated(torch.ones(2, 6) * rank).detach()} if rank == 0 else {})
    save_file(results, folder / f"{rank}.safetensors")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
