"""Small encoders of every kind; `python catalogue.py RANK FOLDER` trains each as one of two ranks."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from hemometric.encoders import (
    CompactConfig,
    PclrConfig,
    ResNet1dConfig,
    TransformerConfig,
    XResNet1d101Config,
    dropout_keys,
)

SMALL: dict[str, Any] = {
    "resnet1d": ResNet1dConfig(blocks=(1, 2), widths=(4, 8), stem_kernel=5, kernel=3, embedding_dim=6),
    "resnet1d, bottlenecks": ResNet1dConfig(
        block="bottleneck", blocks=(1, 2), widths=(2, 4), stem_kernel=5, kernel=5, outer_kernel=3, embedding_dim=6
    ),
    "pclr": PclrConfig(dropout=0.2),
    "pclr, linear": PclrConfig(embedding_dim=6, dropout=0.2),
    "xresnet1d101": XResNet1d101Config(width=4, embedding_dim=6),
    "compact": CompactConfig(widths=(4, 8), blocks=(1, 2), embedding_dim=6),
    "transformer": TransformerConfig(patch=7, max_samples=2000, width=12, depth=2, num_heads=2, embedding_dim=6),
    "transformer, token": TransformerConfig(
        patch=10, max_samples=1000, width=8, depth=2, num_heads=2, positions="sinusoidal", pool="token", embedding_dim=6
    ),
}
WORLD, BATCH, LEADS, SAMPLES = 2, 6, 3, 130


def built(config: Any, num_leads: int, seed: int = 3) -> Any:
    """An encoder whose norms are not as they begin: those that begin at 0 would hide what lies before them."""
    torch.manual_seed(seed)
    encoder = config.build(num_leads)
    for name, tensor in encoder.state_dict().items():
        if tensor.dim() == 1 and tensor.is_floating_point():
            tensor.add_(torch.rand_like(tensor) * 0.2 + (0.1 if name.endswith("weight") else 0.0))
    return encoder


def train(config: Any, rows: slice) -> dict[str, Tensor]:
    """Forward and backward some rows of a batch: embeddings, gradients of the sum over all rows, buffers."""
    draw = torch.Generator().manual_seed(11)
    signals = torch.randn(BATCH, LEADS, SAMPLES, generator=draw, dtype=torch.float64)
    targets = torch.randn(BATCH, config.embedding_dim, generator=draw, dtype=torch.float64)
    keys = torch.randint(-(2**62), 2**62, (BATCH,), generator=draw)
    encoder = built(config, LEADS).double()
    num_ranks = dist.get_world_size() if dist.is_initialized() else 1
    trained = DistributedDataParallel(encoder) if num_ranks > 1 else encoder
    with dropout_keys(keys[rows], step=4, seed=9):
        embeddings = trained(signals[rows])
    (embeddings - targets[rows]).square().sum().backward()
    result = {"embeddings": embeddings.detach()}
    # DistributedDataParallel averages over ranks; the loss of the joined batch is the sum.
    result |= {f"gradient.{name}": tensor.grad * num_ranks for name, tensor in encoder.named_parameters()}
    return result | {f"buffer.{name}": buffer.clone() for name, buffer in encoder.named_buffers()}


def main(rank: int, folder: Path) -> None:
    """Join the other rank through a file and train every encoder on every second row."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), WORLD)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=WORLD)
    results: dict[str, Tensor] = {}
    for name, config in SMALL.items():
        found = train(config, slice(rank, None, WORLD))
        results |= {f"{name}/{part}": tensor.contiguous() for part, tensor in found.items()}
    save_file(results, folder / f"{rank}.safetensors")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
