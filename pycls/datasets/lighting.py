"""Random lighting along the colour axes of ImageNet (Krizhevsky et al., 2012, section 4.1)."""

import numpy as np
import numpy.typing as npt

from pycls.datasets import randomness

# Principal components of the RGB values of ImageNet's training images: the standard deviations
# along the axes, in units where white is 1, and the axes, as columns (pycls, datasets/imagenet).
_AXIS_STDS = np.array([0.2175, 0.0188, 0.0045])
_AXES = np.array(
    [
        [-0.5675, 0.7192, 0.4009],
        [-0.5808, -0.0045, -0.8140],
        [-0.5836, -0.6948, 0.4203],
    ]
)


def sample_lighting(
    seed: int, epoch: int, positions: npt.ArrayLike, std: float
) -> npt.NDArray[np.float32]:
    """Draw what is added to all pixels of each image.

    Args:
        seed: the run's seed.
        epoch: 0-based epoch.
        positions: positions of the images in their prepared set, N.
        std: standard deviation of the draws, in standard deviations of each axis.

    Returns:
        float32, N x 3 (red, green, blue), in units where white is 1.
    """
    normal = np.stack(
        [
            randomness.sample_normal(seed, epoch, randomness.STREAM_LIGHTING + axis, positions)
            for axis in range(3)
        ],
        axis=1,
    )
    return (std * (normal * _AXIS_STDS) @ _AXES.T).astype(np.float32)
