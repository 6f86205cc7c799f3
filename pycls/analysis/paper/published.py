"""The published study's numbers, to stand beside one's own.

Source: Tuggener, Schmidhuber and Stadelmann (2022), Is it enough to optimize CNN architectures
on ImageNet? Those of Table A1 are :data:`pycls.analysis.controls.population.PUBLISHED_CIFAR10`.
"""

# Rho of a target's errors with those on ImageNet, and with those on the closest ImageNet-X.
TABLE_3 = {
    "concrete": (0.001, 0.106),
    "mlc2008": (0.476, 0.811),
    "ham10000": (0.517, 0.608),
    "powerline": (-0.436, 0.294),
    "insects": (0.967, 0.95),
    "natural": (-0.38, 0.186),
    "cifar10": (-0.104, 0.45),
    "cifar100": (0.476, 0.595),
}
# As printed; the printed rows average to 0.190 and 0.500.
TABLE_3_AVERAGE = (0.19, 0.507)

# Rho of a set's errors with cumulative depth, and with cumulative width.
TABLE_4 = {
    "imagenet": (-0.205, -0.511),
    "imagenet_100": (-0.022, -0.558),
    "imagenet_10": (0.249, -0.457),
    "imagenet_5": (0.51, -0.338),
    "imagenet_2": (0.425, -0.179),
}
