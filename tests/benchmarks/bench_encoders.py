"""What a training step of each encoder costs on one core: forward and backward of 64 ECGs of 12 x 1000.

    python tests/benchmarks/bench_encoders.py [--repeats 15] [--all]

The encoders take turns, and time is CPU time of one thread, so that neighbours on the machine weigh on all alike; the
figure is the median. Without --all only the two small ones, `compact` and the narrow ResNet of the laptop configs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch

from hemometric.encoders import (
    CompactConfig,
    PclrConfig,
    ResNet1dConfig,
    TransformerConfig,
    XResNet1d101Config,
    dropout_keys,
)

BATCH, LEADS, SAMPLES = 64, 12, 1000
SMALL: dict[str, Any] = {
    "narrow ResNet": ResNet1dConfig(blocks=(1, 1, 1, 1), widths=(16, 32, 64, 128)),
    "compact": CompactConfig(),
}
LARGE: dict[str, Any] = {
    "ResNet-18": ResNet1dConfig(),
    "ResNet-50": ResNet1dConfig(block="bottleneck", blocks=(3, 4, 6, 3)),
    "pclr": PclrConfig(),
    "xresnet1d101": XResNet1d101Config(),
    "transformer": TransformerConfig(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--all", action="store_true", help="the large ones too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    encoders = {name: config.build(LEADS) for name, config in (SMALL | (LARGE if options.all else {})).items()}
    signals, keys = torch.randn(BATCH, LEADS, SAMPLES) * 0.2, torch.arange(BATCH)
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    for repeat in range(options.repeats + 1):
        for name, encoder in encoders.items():
            encoder.zero_grad()
            start = time.process_time()
            with dropout_keys(keys, step=repeat, seed=0):
                encoder(signals).square().mean().backward()
            if repeat > 0:  # the first one allocates
                seconds[name].append(time.process_time() - start)
    for name, encoder in encoders.items():
        parameters = sum(parameter.numel() for parameter in encoder.parameters())
        print(f"{name:14} {parameters:>12,} parameters {1e3 * statistics.median(seconds[name]):8.1f} ms")


if __name__ == "__main__":
    main()
