"""What only a GPU can show; on other machines skipped by name."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image

from pycls.core.config import load_cfg
from pycls.core.cuda_graph import GraphedStep
from pycls.core.optimizer import build_optimizer
from pycls.core.precision import Precision
from pycls.core.step import TrainStep
from pycls.core.trainer import train_model
from pycls.datasets.loading.file_images import FileImages
from pycls.datasets.loading.held import HeldImages
from pycls.datasets.loading.image_tree import open_image_tree
from pycls.datasets.loading.loader import Loader
from pycls.datasets.loading.streamed import StreamedImages
from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.store.writer import SetFacts, write_store
from pycls.models.builders import build_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")


def steps(cfg, graphed):
    """Train a network by four steps and return its state and the losses."""
    device = torch.device("cuda")
    model = build_model(cfg).to(device, memory_format=torch.channels_last).train()
    optimizer = build_optimizer(model, cfg)
    step = TrainStep(model, optimizer, Precision(cfg, device), cfg, topk=5)
    run = GraphedStep(step) if graphed else step
    generator = torch.Generator().manual_seed(0)
    losses = []
    for i in range(4):
        images = torch.randn(16, 3, 32, 32, generator=generator).to(
            device, memory_format=torch.channels_last
        )
        labels = torch.randint(10, (16,), generator=generator).to(device)
        losses.append(run(images, labels, 0.1 / (i + 1), 0, i).loss.item())
    return copy.deepcopy(model.state_dict()), losses


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("OPTIM.OPTIMIZER", "adamw", "OPTIM.BASE_LR", 0.01),
        ("TRAIN.MIXUP_ALPHA", 0.3, "TRAIN.CUTMIX_ALPHA", 1.0),
        ("TRAIN.MIXED_PRECISION", True, "TRAIN.MIXED_DTYPE", "bfloat16"),
    ],
    ids=["sgd", "adamw", "mixup and cutmix", "bfloat16"],
)
def test_captured_step_trains_as_the_plain_one(overrides):
    architecture = [
        "MODEL.TYPE", "anynet", "ANYNET.DEPTHS", [1, 2], "ANYNET.WIDTHS", [16, 32],
        "ANYNET.STRIDES", [1, 2], "ANYNET.GROUP_WS", [8, 8], "TRAIN.BATCH_SIZE", 16,
    ]  # fmt: skip
    plain, losses = steps(load_cfg(None, [*architecture, *overrides]), False)
    cfg = load_cfg(None, [*architecture, *overrides, "TRAIN.CUDA_GRAPH", True])
    captured, others = steps(cfg, True)
    assert others == pytest.approx(losses, rel=1e-2)
    for name, value in plain.items():
        assert torch.allclose(value.float(), captured[name].float(), atol=1e-2), name


@pytest.mark.parametrize(
    "overrides",
    [
        ("TRAIN.CUDA_GRAPH", True),
        ("TRAIN.MIXED_PRECISION", True),
        ("TRAIN.MIXED_PRECISION", True, "TRAIN.MIXED_DTYPE", "bfloat16"),
        ("OPTIM.OPTIMIZER", "adamw", "OPTIM.BASE_LR", 0.01),
        ("OPTIM.EMA_UPDATE_PERIOD", 2, "BN.USE_PRECISE_STATS", True),
    ],
    ids=["graph", "float16", "bfloat16", "adamw", "ema"],
)
def test_it_learns_on_the_gpu(digits_cfg, overrides):
    result = train_model(digits_cfg("DEVICE", "cuda", "OPTIM.MAX_EPOCH", 15, *overrides))["result"]
    assert result["final_top1_err"] < 25


@pytest.fixture(scope="module")
def large_set(tmp_path_factory):
    """Return a set of 200 random images of 96 x 100 pixels."""
    images = np.random.default_rng(0).integers(0, 256, (200, 96, 100, 3), dtype=np.uint8)
    split = (np.arange(200) % 4 == 3).astype(np.uint8)
    facts = SetFacts("large", "Large", "random pixels", "a generator", "none", "every fourth")
    folder = tmp_path_factory.mktemp("sets") / "large"
    return write_store(folder, images, np.arange(200) % 2, split, ("a", "b"), facts)


def pixels(loader, epoch=2):
    return torch.cat([images.cpu() for images, _ in loader.pixels(epoch)])


@pytest.mark.parametrize("max_resident_bytes", [None, 0], ids=["held", "streamed"])
@pytest.mark.parametrize("augment", ["", "RandAugment_N1_M0.5"])
def test_resized_crops_are_those_of_the_cpu(large_set, max_resident_bytes, augment):
    dataset = open_dataset(large_set, "train")
    options = {"batch_size": 30, "im_size": 64, "train": True, "seed": 4}
    on_cpu = pixels(Loader(dataset, **options))
    options |= {"device": "cuda", "max_resident_bytes": max_resident_bytes, "threads": 3}
    loader = Loader(dataset, **options)
    assert isinstance(loader._images, StreamedImages if max_resident_bytes == 0 else HeldImages)
    difference = (pixels(loader).int() - on_cpu.int()).abs()
    assert difference.max() <= 1
    streamed = Loader(dataset, **options | {"max_resident_bytes": 0})
    assert torch.equal(pixels(loader), pixels(streamed))
    augmented = Loader(dataset, augment=augment, lighting=0.1, **options)
    for images, labels in augmented.epoch(0):
        assert images.device.type == labels.device.type == "cuda"
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert images.isfinite().all()


@pytest.mark.parametrize("max_resident_bytes", [None, 0], ids=["held", "streamed"])
@pytest.mark.parametrize("test_im_size", [None, 72])
def test_test_images_are_those_of_the_cpu(large_set, max_resident_bytes, test_im_size):
    dataset = open_dataset(large_set, "test")
    options = {"batch_size": 30, "im_size": 64, "train": False, "seed": 4,
               "test_im_size": test_im_size}  # fmt: skip
    on_cpu = pixels(Loader(dataset, **options))
    on_gpu = pixels(
        Loader(dataset, device="cuda", max_resident_bytes=max_resident_bytes, **options)
    )
    difference = (on_gpu.int() - on_cpu.int()).abs()
    assert difference.max() <= (0 if test_im_size is None else 1)


def test_a_share_of_the_memory_decides_what_is_held(large_set):
    dataset = open_dataset(large_set, "train")
    options = {"batch_size": 30, "im_size": 64, "train": True, "seed": 4, "device": "cuda"}
    assert isinstance(Loader(dataset, **options)._images, HeldImages)
    assert isinstance(Loader(dataset, gpu_share=1e-6, **options)._images, StreamedImages)


@pytest.fixture(scope="module")
def image_tree(tmp_path_factory):
    """Return a tree of image files, 120 to train on, of two classes."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("trees") / "photos"
    for side, count in (("train", 60), ("val", 2)):
        for name in ("a", "b"):
            folder = path / side / name
            folder.mkdir(parents=True)
            for number in range(count):
                image = rng.integers(0, 256, (48, 40, 3), dtype=np.uint8)
                Image.fromarray(image).save(folder / f"{number}.jpg")
    return path


@pytest.mark.parametrize("max_resident_bytes", [None, 0], ids=["held", "streamed"])
@pytest.mark.parametrize(
    "options",
    [
        {"crop": "padded", "pad": 4},
        {"crop": "resized"},
        {"crop": "resized", "augment": "RandAugment_N2_M0.5"},
    ],
)
def test_captured_batches_have_the_bits_of_single_operations(
    large_set, max_resident_bytes, options
):
    options = {
        **options, "batch_size": 30, "im_size": 64, "train": True, "seed": 4, "device": "cuda",
        "lighting": 0.1, "max_resident_bytes": max_resident_bytes,
    }  # fmt: skip
    dataset = open_dataset(large_set, "train")
    captured, plain = (Loader(dataset, captured=on, **options) for on in (True, False))
    for epoch in range(2):
        for pair in zip(*(list(each.epoch(epoch)) for each in (captured, plain)), strict=True):
            (images, labels), (expected, same_labels) = pair
            assert torch.equal(images, expected)
            assert torch.equal(labels, same_labels)


@pytest.mark.parametrize("files", [False, True], ids=["prepared", "files"])
def test_capture_while_threads_pin_memory_on_a_gpu(large_set, image_tree, files):
    """What reads ahead pins memory while the first step is captured.

    Of a prepared set the threads that read; of files the thread that takes what processes decode.
    """
    dataset = open_image_tree(image_tree, "train") if files else open_dataset(large_set, "train")
    words = [
        "MODEL.TYPE", "anynet", "ANYNET.DEPTHS", [1], "ANYNET.WIDTHS", [16], "ANYNET.STRIDES", [2],
        "ANYNET.GROUP_WS", [8], "MODEL.NUM_CLASSES", 2, "TRAIN.BATCH_SIZE", 5,
    ]  # fmt: skip
    losses = []
    for captured in (False, True):
        cfg = load_cfg(None, [*words, "TRAIN.CUDA_GRAPH", captured, "CUDNN.BENCHMARK", False])
        device = torch.device("cuda")
        torch.manual_seed(0)
        model = build_model(cfg).to(device, memory_format=torch.channels_last).train()
        optimizer = build_optimizer(model, cfg)
        step = TrainStep(model, optimizer, Precision(cfg, device), cfg, topk=2)
        step = GraphedStep(step) if captured else step
        loader = Loader(dataset, batch_size=5, im_size=64, train=True, seed=4, device="cuda",
                        max_resident_bytes=0, threads=6, workers=2)  # fmt: skip
        assert isinstance(loader._images, FileImages if files else StreamedImages)
        batches = enumerate(loader.epoch(0))
        losses.append([float(step(*batch, 0.01, 0, number).loss) for number, batch in batches])
    assert len(losses[0]) > 20
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)


def test_batches_stay_what_they_are_while_the_next_are_made(large_set):
    # Buffers that are copied from must not be filled again too early.
    dataset = open_dataset(large_set, "train")
    options = {"batch_size": 10, "im_size": 64, "train": True, "seed": 4, "device": "cuda",
               "max_resident_bytes": 0, "threads": 4}  # fmt: skip
    loader = Loader(dataset, **options)
    kept = [images for images, _ in loader.pixels(1)]
    assert torch.equal(torch.cat(kept).cpu(), pixels(Loader(dataset, **options), 1))
