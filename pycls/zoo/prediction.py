"""Says of which class images are, one by one: files and folders that belong to no data set."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from pycls.core.env import move_model, run_settings
from pycls.core.inputs import open_side
from pycls.core.precision import Precision
from pycls.core.weights.weights import load_weights_into, read_weights
from pycls.datasets.loading import transforms
from pycls.datasets.loading.image_tree import ImageTree
from pycls.datasets.opening.dataset import Dataset
from pycls.datasets.readers.layout import holds_image
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.decode import Decoding, decode_file, fit_image
from pycls.datasets.sources.sources import Source, open_source
from pycls.datasets.store.store import ImageArray
from pycls.errors import DataError
from pycls.models.builders import build_model


@dataclass(frozen=True)
class Prediction:
    """What a network says of one image.

    Attributes:
        file: its path; of one in an archive, as if that were a folder.
        probabilities: of each class, in the order of the labels, of sum 1; empty where the image
            cannot be read.
        problem: why it cannot; "" where it can.
    """

    file: str
    probabilities: tuple[float, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Images:
    """The images in some files, folders and archives.

    Attributes:
        found: each with the source that reads it.
        left_out: how many files beside them are no images, or litter.
    """

    found: tuple[tuple[Source, Member], ...]
    left_out: int


class Predictor:
    """A network with its weights, and what testing does to an image of its data set.

    Args:
        cfg: the configuration; the classes and how images are cut are those of TEST.DATASET.
        weights: a checkpoint, or its address.
        device: where the network computes.

    Attributes:
        class_names: the classes, in the order of the labels.
        notes: sentences on the weights.

    Raises:
        ConfigError: the data set is of another number of classes.
        DataError: it is not prepared, or damaged.
        CheckpointError: the weights are damaged, or of another network.
    """

    def __init__(self, cfg: CfgNode, weights: str, device: torch.device) -> None:
        dataset = open_side(cfg, "TEST")
        self.class_names = tuple(dataset.class_names)
        self._fit = _Fit(dataset, cfg.TRAIN.IM_SIZE, cfg.TEST.IM_SIZE)
        self._normalize = transforms.Normalizer(
            dataset.mean, dataset.std, cfg.TRAIN.IM_SIZE, device
        )
        model = build_model(cfg)
        self.notes = load_weights_into(model, read_weights(weights, cache_dir=cfg.DOWNLOAD_CACHE))
        self._model: nn.Module = move_model(model, cfg, device).eval()
        self._device = device
        self._precision = Precision(cfg, device)
        self._batch_size = cfg.TEST.BATCH_SIZE
        self._channels_last = cfg.MEMORY_FORMAT == "channels_last"

    def predict(self, images: Images) -> Iterator[Prediction]:
        """Yield a prediction for each image, in their order."""
        for first in range(0, len(images.found), self._batch_size):
            part = images.found[first : first + self._batch_size]
            squares, answers = [], []
            for source, member in part:
                file = str(source.root / member.name)
                try:
                    squares.append(self._fit(source.read(member), file))
                except DataError as error:
                    answers.append(Prediction(file, problem=str(error)))
                else:
                    answers.append(Prediction(file))
            rows = iter(self._probabilities(squares))
            for answer in answers:
                yield answer if answer.problem else Prediction(answer.file, next(rows))

    @torch.no_grad()
    def _probabilities(self, squares: Sequence[Tensor]) -> list[tuple[float, ...]]:
        if not squares:
            return []
        pixels = torch.stack(list(squares)).to(self._device)
        images = self._normalize(pixels).permute(0, 3, 1, 2)
        with self._precision.autocast():
            logits = self._model(images if self._channels_last else images.contiguous())
        return [tuple(row) for row in logits.double().softmax(dim=1).cpu().tolist()]


class _Fit:
    """Makes of a file the square that a network is tested on: as prepared, then as tested."""

    def __init__(self, dataset: Dataset | ImageTree, im_size: int, test_im_size: int) -> None:
        self._expected: tuple[int, int] | None = None
        if isinstance(dataset, ImageTree):
            self._size: int | None = test_im_size or im_size
            self._aspect, self._how = "crop", Decoding()
            self._centre = transforms.CentreCrop(im_size)
            return
        options: dict[str, Any] = dataset.meta["recipe"]["options"]
        self._expected = dataset.im_size
        self._size, self._aspect = options.get("size"), options.get("aspect", "crop")
        if self._size is None and len(set(dataset.im_size)) == 1:
            self._size = dataset.im_size[0]
        self._how = Decoding(
            turn=options.get("orientation") == "apply", white=options.get("white", 0.0)
        )
        self._centre = transforms.CentreCrop(im_size, test_im_size)

    def __call__(self, data: bytes, where: str) -> Tensor:
        """Return uint8, S x S x 3.

        Raises:
            DataError: it cannot be read as an image, or is of another size than the set's.
        """
        image: ImageArray = fit_image(
            decode_file(data, where, self._how)[0], self._size, self._aspect
        )
        if self._expected is not None and image.shape[:2] != self._expected:
            height, width = self._expected
            raise DataError(
                f"{where}: an image of {image.shape[1]} x {image.shape[0]} pixels; those of the "
                f"data set are of {width} x {height}"
            )
        return self._centre(torch.from_numpy(np.array(image))[None])[0]


def find_images(paths: Sequence[str | os.PathLike[str]]) -> Images:
    """List the images in files, folders and archives, known by content.

    Raises:
        DataError: there is nothing at a path, or no image in it.
    """
    found: list[tuple[Source, Member]] = []
    left_out = 0
    for path in paths:
        if not Path(path).exists():
            raise DataError(f"{path}: there is no such file or folder; name images, or folders")
        source = open_source(path)
        is_file = Path(path).is_file() and len(source.members) == 1
        # A file that is named is one to be read, or to be told why not.
        images = [member for member in source.members if is_file or holds_image(source, member)]
        if not images:
            raise DataError(f"{path}: none of its {len(source.members):,} files is an image")
        left_out += len(source.members) - len(images) + len(source.sieve.litter)
        found += [(source, member) for member in images]
    return Images(tuple(found), left_out)


def predict(cfg: CfgNode, weights: str, images: Images) -> tuple[Predictor, list[Prediction]]:
    """Return the predictor of a configuration and what it says of images.

    Raises:
        PyclsError: see :class:`Predictor`.
    """
    with run_settings(cfg) as device:
        predictor = Predictor(cfg, weights, device)
        return predictor, list(predictor.predict(images))
