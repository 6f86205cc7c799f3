"""Counts kernels, launches and bytes of a training step on a GPU: a count, not a measurement.

For ten architectures of the published population at 224 pixels, batches of 128: how many kernels a
step has, and how many bytes it moves an image, where each layer reads what it needs and writes what
it gives once. As it is by default, and with LAYER_FORMS own, whose kernels are counted as they are
launched (tests/kernels/interpreted_kernels.py holds them to it):

    python dev/count_step.py

Of a convolution each pass reads two of image, result and weights and writes the third; a batch
normalisation reads twice and writes once, backward reads four times and writes once; ReLU moves two
and three of its images, an addition three and three. Fused, normalisation, activation and
addition are one pass over their input for the statistics and one to apply them, and two backward;
the gradients of a block's two branches are each read once, and their sum is not written. Our
pooling keeps a byte for each place.
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
        kernels: of a step in mixed precision, each weight and gradient cast by itself, as autocast
            does; one_cast_kernels: all in one; fused_kernels: and normalisations fused.
        float32, mixed, fused: bytes an image; in bfloat16 where not float32.
    """

    kernels: int
    one_cast_kernels: int
    fused_kernels: int
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
    pools = [(i, o) for m, i, o in seen if isinstance(m, nn.MaxPool2d)]
    pooled = sum(6 * i + 20 * o for i, o in pools)
    # The gradient of the images themselves is not needed.
    passes = 3 * sum(i + o for i, o in convolutions) - sum(convolutions[0])
    made = sum(o for _, o in convolutions)
    ends = sum(o for _, o in blocks)
    begins = sum(i for i, _ in blocks)
    plain = passes + 8 * made + 5 * sum(activations) + 3 * (ends + begins)
    fused = passes + 8 * made + 3 * ends + begins
    layers = 3 * len(convolutions) + _OTHERS
    steps = 8 * norms + 2 * (len(activations) + len(blocks))
    casts = 2 * len(convolutions)
    return StepCount(
        kernels=layers + steps + casts,
        one_cast_kernels=layers + steps + 2,
        fused_kernels=layers + 6 * norms + 2,
        float32=4 * plain + 1.4 * pooled + 20 * weights,
        mixed=2 * plain + pooled + 32 * weights,
        fused=2 * fused + sum(4 * i + 6 * o for i, o in pools) + 32 * weights,
    )


def main() -> None:
    """Print a row an architecture, and the means."""
    scale = Scale.of("cpu", False)
    rows = [
        (name, count_step(scale.cfg(keys, scale.large, "bfloat16")))
        for name, keys in scale.networks()
    ]
    print("| network | kernels | cast once | and fused | MB, float32 | MB, bfloat16 | MB, fused |")
    print("|---|---|---|---|---|---|---|")
    for name, count in rows:
        print(_row(name, [count]))
    print(_row("mean", [count for _, count in rows]))


def _row(name: str, counts: list[StepCount]) -> str:
    def mean(attribute: str) -> float:
        return sum(getattr(count, attribute) for count in counts) / len(counts)

    kernels = (f"{mean(k):.0f}" for k in ("kernels", "one_cast_kernels", "fused_kernels"))
    megabytes = (f"{mean(k) / 1e6:.0f}" for k in ("float32", "mixed", "fused"))
    return f"| {' | '.join((name, *kernels, *megabytes))} |"


if __name__ == "__main__":
    main()
