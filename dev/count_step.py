"""Counts kernels, launches and bytes of a training step on a GPU: a count, not a measurement.

For ten architectures of the published population at 224 pixels, batches of 128: how many kernels a
step has, and how many bytes it moves an image, where each layer reads what it needs and writes what
it gives once. As it is, and with what could be joined:

    python dev/count_step.py

Of a convolution each pass reads two of image, result and weights and writes the third; a batch
normalisation reads twice and writes once, backward reads four times and writes once; ReLU moves two
and three of its images, an addition three and three. Fused, normalisation, activation and
addition are one pass over their input for the statistics and one to apply them, and two backward.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from yacs.config import CfgNode

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from gpu_check.scale import Scale  # noqa: E402

from pycls.models.blocks import ResidualBlock  # noqa: E402
from pycls.models.builders import build_meta_model  # noqa: E402

# Kernels that are no layer's: pooling and head, loss and its gradient, counting errors, optimizer.
_OTHERS = 6 + 8 + 8
_COUNTED = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, ResidualBlock)


@dataclass(frozen=True)
class StepCount:
    """What a training step takes, by the count.

    Attributes:
        kernels: of a step in mixed precision; fused_kernels: with fused normalisations;
            one_cast_kernels: fused, and the weights cast once for all.
        float32, mixed, fused: bytes an image; in bfloat16 where not float32.
    """

    kernels: int
    fused_kernels: int
    one_cast_kernels: int
    float32: float
    mixed: float
    fused: float


def count_step(cfg: CfgNode) -> StepCount:
    """Count the step of a configuration's network; it is built without weights."""
    model = build_meta_model(cfg).eval()
    seen: list[tuple[nn.Module, int, int]] = []

    def note(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        seen.append((module, inputs[0].numel(), output.numel()))

    for module in model.modules():
        if isinstance(module, _COUNTED):
            module.register_forward_hook(note)
    with torch.no_grad():
        model(torch.empty(1, 3, cfg.TRAIN.IM_SIZE, cfg.TRAIN.IM_SIZE, device="meta"))
    weights = sum(p.numel() for p in model.parameters()) / cfg.TRAIN.BATCH_SIZE
    convolutions = [(given, made) for m, given, made in seen if isinstance(m, nn.Conv2d)]
    norms = sum(isinstance(m, nn.BatchNorm2d) for m, _, _ in seen)
    activations = [made for m, _, made in seen if isinstance(m, nn.ReLU)]
    blocks = [(given, made) for m, given, made in seen if isinstance(m, ResidualBlock)]
    # Values and the places of the largest, which are of 8 bytes; the gradient is set to zero first.
    pooled = sum(6 * i + 20 * o for m, i, o in seen if isinstance(m, nn.MaxPool2d))
    # The gradient of the images themselves is not needed.
    passes = 3 * sum(i + o for i, o in convolutions) - sum(convolutions[0])
    made = sum(o for _, o in convolutions)
    ends = sum(o for _, o in blocks)
    begins = sum(i for i, _ in blocks)
    plain = passes + 8 * made + 5 * sum(activations) + 3 * (ends + begins)
    fused = passes + 8 * made + 3 * ends + begins
    layers = 5 * len(convolutions) + 2 * (len(activations) + len(blocks)) + _OTHERS
    fused_kernels = 5 * len(convolutions) + 4 * norms + _OTHERS
    return StepCount(
        kernels=layers + 8 * norms,
        fused_kernels=fused_kernels,
        # A cast of each weight and one of each gradient become two for all.
        one_cast_kernels=fused_kernels - 2 * len(convolutions) + 2,
        float32=4 * plain + 1.4 * pooled + 20 * weights,
        mixed=2 * plain + pooled + 32 * weights,
        fused=2 * fused + 0.4 * pooled + 26 * weights,
    )


def main() -> None:
    """Print a row an architecture, and the means."""
    scale = Scale.of("cpu", False)
    rows = [
        (name, count_step(scale.cfg(keys, scale.large, "bfloat16")))
        for name, keys in scale.networks()
    ]
    print("| network | kernels | fused | and cast once | MB, float32 | MB, bfloat16 | MB, fused |")
    print("|---|---|---|---|---|---|---|")
    for name, count in rows:
        print(_row(name, [count]))
    print(_row("mean", [count for _, count in rows]))


def _row(name: str, counts: list[StepCount]) -> str:
    def mean(attribute: str) -> float:
        return sum(getattr(count, attribute) for count in counts) / len(counts)

    kernels = (f"{mean(k):.0f}" for k in ("kernels", "fused_kernels", "one_cast_kernels"))
    megabytes = (f"{mean(k) / 1e6:.0f}" for k in ("float32", "mixed", "fused"))
    return f"| {' | '.join((name, *kernels, *megabytes))} |"


if __name__ == "__main__":
    main()
