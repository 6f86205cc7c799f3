from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from pycls.datasets.loading import augment, image_ops
from pycls.datasets.loading.augment import Augment, apply_draws
from pycls.datasets.loading.image_ops import NAMES, apply_operations
from pycls.errors import ConfigError
from pycls.torchvision_import import import_torchvision

WARP = {"resample": Image.Resampling.BILINEAR, "fillcolor": (128, 128, 128)}
RANGES = {
    "posterize": (1, 8), "solarize": (0, 256), "solarize_add": (0, 110), "rotate": (-30, 30),
    "shear_x": (-0.3, 0.3), "shear_y": (-0.3, 0.3), "trans_x": (-0.45, 0.45),
    "trans_y": (-0.45, 0.45),
}  # fmt: skip
GOLDEN_RAND = [[9, 7], [8, 12], [13, 1], [6, 8], [11, 12]]
GOLDEN_AUTO = [[-1, 1], [1, 5], [-1, 10], [-1, 10], [4, -1]]
MOVING = ("rotate", "shear_x", "shear_y", "trans_x", "trans_y")


def affine(image, *entries):
    return image.transform(image.size, Image.Transform.AFFINE, entries, **WARP)


# What pycls does with Pillow, operation by operation.
PILLOW = {
    "auto_contrast": lambda image, v: ImageOps.autocontrast(image),
    "equalize": lambda image, v: ImageOps.equalize(image),
    "invert": lambda image, v: ImageOps.invert(image),
    "posterize": lambda image, v: ImageOps.posterize(image, int(v)),
    "solarize": lambda image, v: image.point(lambda i: i if i < v else 255 - i),
    "solarize_add": lambda image, v: image.point(lambda i: min(255, v + i) if i < 128 else i),
    "brightness": lambda image, v: ImageEnhance.Brightness(image).enhance(v),
    "contrast": lambda image, v: ImageEnhance.Contrast(image).enhance(v),
    "color": lambda image, v: ImageEnhance.Color(image).enhance(v),
    "sharpness": lambda image, v: ImageEnhance.Sharpness(image).enhance(v),
    "rotate": lambda image, v: image.rotate(v, **WARP),
    "shear_x": lambda image, v: affine(image, 1, v, 0, 0, 1, 0),
    "shear_y": lambda image, v: affine(image, 1, 0, 0, v, 1, 0),
    "trans_x": lambda image, v: affine(image, 1, 0, v * image.size[0], 0, 1, 0),
    "trans_y": lambda image, v: affine(image, 1, 0, 0, 0, 1, v * image.size[1]),
}


def make_images(count, height, width):
    """Noise of all contrasts and brightnesses; the last image has one colour."""
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (count, height, width, 3))
    shares = generator.uniform(0, 1, (count, 1, 1, 3))
    images = noise * shares + generator.uniform(0, 255, (count, 1, 1, 3)) * (1 - shares)
    images[-1] = (7, 200, 90)
    return torch.from_numpy(images.astype(np.uint8))


def draw_arguments(name, count):
    values = np.random.default_rng(1).uniform(*RANGES.get(name, (0.1, 1.9)), count)
    return np.floor(values) if name == "posterize" else values


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(2, 2), (4, 3), (25, 40), (200, 210)])
def test_operation_is_pillows(name, size):
    count = 60 if max(size) < 100 else 3
    images = make_images(count, *size)
    values = draw_arguments(name, count)
    expected = np.stack(
        [
            PILLOW[name](Image.fromarray(image), float(value))
            for image, value in zip(images.numpy(), values, strict=True)
        ]
    )
    apply_operations(images, np.full(count, NAMES.index(name)), values)
    difference = abs(images.numpy().astype(int) - expected)
    if name not in MOVING:
        assert not difference.any()
    else:
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01


@settings(max_examples=30)
@given(data=st.data(), size=st.sampled_from([(4, 4), (32, 32), (100, 90)]))
def test_an_image_does_not_depend_on_the_others(data, size):
    codes = st.integers(-1, len(NAMES) - 1)
    count = data.draw(st.integers(1, 40 if size[0] < 100 else 6))
    operations = np.array(data.draw(st.lists(codes, min_size=count, max_size=count)))
    values = np.random.default_rng(data.draw(st.integers(0, 99))).uniform(0, 0.4, count) + 1
    images = make_images(count, *size)
    alone = images.clone()
    before = images.clone()
    apply_operations(images, operations, values)
    for i in range(count):
        apply_operations(alone[i : i + 1], operations[i : i + 1], values[i : i + 1])
    assert torch.equal(images, alone)
    untouched = torch.from_numpy(operations == -1)
    assert torch.equal(images[untouched], before[untouched])


def test_auto_augment_is_timms_policy_v0():
    if find_spec("timm") is None:
        pytest.skip("needs timm")
    import_torchvision()
    from timm.data.auto_augment import auto_augment_policy_v0

    names = {"posterize_tpu": "posterize", "translate_x_rel": "trans_x",
             "translate_y_rel": "trans_y"}  # fmt: skip
    steps = Augment("AutoAugment")._steps
    policy = auto_augment_policy_v0({})
    assert len(policy) == len(steps[0]) == 25
    for number, theirs in enumerate(policy):
        for step, other in zip(steps, theirs, strict=True):
            ours = step[number]
            name = "".join("_" + c.lower() if c.isupper() else c for c in other.name)[1:]
            assert ours.name == names.get(name, name)
            assert ours.probability == other.prob
            level = other.level_fn(other.magnitude, {}) if other.level_fn else ()
            expected = abs(level[0]) if level else 0
            if ours.name == "posterize":
                expected = max(1, expected)
            # Theirs adds whole numbers only (solarize_add).
            tolerance = 1 if ours.name == "solarize_add" else 1e-9
            assert [abs(value) for value in ours.arguments] == pytest.approx(
                [expected] * 2, abs=tolerance
            )


@pytest.mark.parametrize(
    ("name", "at_0", "at_half", "at_1"),
    [
        ("rotate", (0, 0), (15, -15), (30, -30)),
        ("posterize", (4, 4), (2, 2), (1, 1)),
        ("solarize", (256, 256), (128, 128), (0, 0)),
        ("solarize_add", (0, 0), (55, 55), (110, 110)),
        ("color", (1, 1), (1.45, 0.55), (1.9, 0.1)),
        ("sharpness", (1, 1), (1.45, 0.55), (1.9, 0.1)),
        ("shear_y", (0, 0), (0.15, -0.15), (0.3, -0.3)),
        ("trans_x", (0, 0), (0.225, -0.225), (0.45, -0.45)),
    ],
)
def test_rand_augment_grows_with_the_magnitude(name, at_0, at_half, at_1):
    for magnitude, expected in (("0", at_0), (".5", at_half), ("1.0", at_1)):
        (variant,) = (
            v for v in Augment(f"RandAugment_N1_M{magnitude}")._steps[0] if v.name == name
        )
        assert variant.arguments == pytest.approx(expected)


def test_magnitude_0_changes_nothing_where_it_can():
    images = make_images(400, 20, 20)
    draws = Augment("RandAugment_N1_M0").sample(1, 0, np.arange(400))
    before = images.clone()
    apply_draws(images, draws)
    changed = (images != before).flatten(1).any(1).numpy()
    names = {NAMES[code] for code in draws.operations[changed, 0]}
    assert names == {"auto_contrast", "equalize", "invert", "posterize"}


def test_rand_augment_draws_evenly_and_both_signs():
    draws = Augment("RandAugment_N3_M0.5_P0.4").sample(5, 2, np.arange(30_000))
    assert draws.operations.shape == (30_000, 3)
    for step in range(3):
        codes = draws.operations[:, step]
        counts = np.bincount(codes + 1, minlength=16)
        # Six standard deviations of a binomial number.
        assert abs(counts[0] - 18_000) < 510
        assert abs(counts[1:] - 800).max() < 168
        rotated = codes == NAMES.index("rotate")
        assert 0.4 < (draws.arguments[rotated, step] > 0).mean() < 0.6
    # Steps are unrelated.
    same = (draws.operations[:, 0] == draws.operations[:, 1]) & (draws.operations[:, 0] >= 0)
    assert abs(same.mean() - 0.16 / 15) < 6 * np.sqrt(0.16 / 15 / 30_000)


def test_auto_augment_draws_pairs():
    draws = Augment("AutoAugment").sample(5, 2, np.arange(50_000))
    pairs = {tuple(NAMES[c] if c >= 0 else "" for c in row) for row in draws.operations}
    allowed = {
        (a if first else "", b if second else "")
        for (a, p, _), (b, q, _) in augment._POLICY_V0
        for first in (False, True)
        for second in (False, True)
        if (p > 0 or not first) and (q > 0 or not second)
    }
    assert pairs <= allowed
    assert ("rotate", "trans_y") in pairs
    # One pair of 25 inverts, with a probability of 0.4.
    inverted = (draws.operations == NAMES.index("invert")).any(1).mean()
    assert abs(inverted - 0.016) < 6 * np.sqrt(0.016 / 50_000)


@given(st.permutations(list(range(20))), st.sampled_from(["AutoAugment", "RandAugment_N3"]))
def test_draws_belong_to_the_image(positions, text):
    whole = Augment(text).sample(3, 1, np.arange(20))
    some = Augment(text).sample(3, 1, np.array(positions[:7]))
    np.testing.assert_array_equal(some.operations, whole.operations[positions[:7]])
    np.testing.assert_array_equal(some.arguments, whole.arguments[positions[:7]])


def test_draws_are_pinned():
    # Another value here means that every earlier run augments differently.
    rand = Augment("RandAugment_N2_M0.5").sample(1, 0, np.arange(5)).operations
    auto = Augment("AutoAugment").sample(1, 0, np.arange(5)).operations
    assert rand.tolist() == GOLDEN_RAND
    assert auto.tolist() == GOLDEN_AUTO


def test_numbers_left_out_are_the_defaults():
    positions = np.arange(50)
    short = Augment("RandAugment").sample(1, 0, positions)
    full = Augment("RandAugment_N2_M0.5_P1").sample(1, 0, positions)
    np.testing.assert_array_equal(short.operations, full.operations)
    np.testing.assert_array_equal(short.arguments, full.arguments)
    assert (short.operations >= 0).all()


@pytest.mark.parametrize("text", ["TrivialAugment", "RandAugment_X2", "AutoAugment_N2", "", "_N2"])
def test_unknown_augmentation_is_refused(text):
    with pytest.raises(ConfigError, match="expected 'AutoAugment', or 'RandAugment'"):
        Augment(text)


@pytest.mark.parametrize("text", ["RandAugment_N0", "RandAugment_M5", "RandAugment_N2_P1.5"])
def test_numbers_out_of_range_are_refused(text):
    with pytest.raises(ConfigError, match=f"{text}.* expected at least 1 operation"):
        Augment(text)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", image_ops.NAMES)
def test_gpu_operations_equal_the_cpus(name):
    images = make_images(40, 32, 32)
    values = draw_arguments(name, 40)
    on_gpu = images.cuda()
    for batch in (images, on_gpu):
        apply_operations(batch, np.full(40, NAMES.index(name)), values)
    difference = abs(images.int() - on_gpu.cpu().int())
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 0.01
