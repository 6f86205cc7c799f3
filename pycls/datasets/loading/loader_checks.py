"""Checks of a loader's arguments before it begins."""

from pycls.datasets.loading.epoch_plan import TrainTransform, padded_room
from pycls.datasets.loading.image_tree import ImageTree
from pycls.datasets.loading.transforms import CentreCrop
from pycls.datasets.opening.dataset import Dataset
from pycls.errors import ConfigError


def check_loader(
    dataset: Dataset | ImageTree,
    batch_size: int,
    train: bool,
    transform: TrainTransform,
    centre: CentreCrop,
    rank: int,
    world_size: int,
) -> None:
    """Check how a loader's arguments go together.

    Args:
        dataset: what it reads.
        batch_size: images in a batch, of all processes together.
        train: training or testing.
        transform: what happens to images in training.
        centre: what happens to them in testing.
        rank: number of this process, from 0.
        world_size: number of processes.

    Raises:
        ConfigError: they do not.
    """
    name = f"data set '{dataset.name}' ({dataset.split})"
    if batch_size < 1 or centre.im_size < 1 or transform.pad < 0:
        raise ConfigError(
            f"batch size {batch_size}, image size {centre.im_size}, padding {transform.pad}: "
            "expected at least 1, 1 and 0"
        )
    if not 0 <= rank < world_size:
        raise ConfigError(
            f"process {rank} of {world_size}: expected a number from 0 to {world_size - 1}"
        )
    if train and batch_size % world_size:
        raise ConfigError(
            f"a batch of {batch_size} training images cannot be shared evenly by "
            f"{world_size} processes; choose a batch size that is a multiple of {world_size}"
        )
    if not 0 <= transform.lighting < float("inf"):
        raise ConfigError(f"lighting {transform.lighting}: expected a number of 0 or more")
    if centre.test_im_size is not None and centre.test_im_size < centre.im_size:
        raise ConfigError(
            f"test image size {centre.test_im_size} is below the image size {centre.im_size}, "
            "which is cut out of it; expected at least as much"
        )
    if train and len(dataset) < batch_size:
        raise ConfigError(
            f"{name} has {len(dataset)} images, fewer than one batch of {batch_size}; choose a "
            f"batch size of at most {len(dataset)}"
        )
    if dataset.im_size is not None:
        _check_image_size(name, dataset.im_size, train, transform, centre)


def _check_image_size(
    name: str,
    im_size: tuple[int, int],
    train: bool,
    transform: TrainTransform,
    centre: CentreCrop,
) -> None:
    height, width = im_size
    if train and not transform.resized and min(padded_room(im_size, transform)) < 0:
        raise ConfigError(
            f"{name} has images of {height} x {width} pixels, too small for crops of "
            f"{transform.im_size} with {transform.pad} pixels of padding; choose an image size of "
            f"at most {min(height, width) + 2 * transform.pad} or prepare the set at a larger size"
        )
    if not train and not centre.resizes(im_size) and centre.im_size > min(im_size):
        raise ConfigError(
            f"{name} has images of {height} x {width} pixels, too small for centre crops of "
            f"{centre.im_size}; set the test image size to {centre.im_size} or more, or prepare "
            "the set at a larger size"
        )
