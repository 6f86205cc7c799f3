"""The published study's numbers, to stand beside one's own.

Source: Tuggener, Schmidhuber and Stadelmann (2022), Is it enough to optimize CNN architectures
on ImageNet? Those of Table A1 are :data:`pycls.analysis.controls.population.PUBLISHED_CIFAR10`.
"""

from typing import NamedTuple


class PublishedRhos(NamedTuple):
    """A row of Table 3: rho of a target's errors with ImageNet and with ImageNet-X."""

    with_reference: float
    with_member: float


class PublishedStructure(NamedTuple):
    """A row of Table 4: rho of a set's errors with cumulative depth and width."""

    cum_depth: float
    cum_width: float


TABLE_3 = {
    "concrete": PublishedRhos(0.001, 0.106),
    "mlc2008": PublishedRhos(0.476, 0.811),
    "ham10000": PublishedRhos(0.517, 0.608),
    "powerline": PublishedRhos(-0.436, 0.294),
    "insects": PublishedRhos(0.967, 0.95),
    "natural": PublishedRhos(-0.38, 0.186),
    "cifar10": PublishedRhos(-0.104, 0.45),
    "cifar100": PublishedRhos(0.476, 0.595),
}
# As printed; the printed rows average to 0.190 and 0.500.
TABLE_3_AVERAGE = PublishedRhos(0.19, 0.507)

TABLE_4 = {
    "imagenet": PublishedStructure(-0.205, -0.511),
    "imagenet_100": PublishedStructure(-0.022, -0.558),
    "imagenet_10": PublishedStructure(0.249, -0.457),
    "imagenet_5": PublishedStructure(0.51, -0.338),
    "imagenet_2": PublishedStructure(0.425, -0.179),
}
