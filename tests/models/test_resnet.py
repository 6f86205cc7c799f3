"""ResNets: their two forms and where the stride is."""

import pytest
import torch

from pycls.core.config import load_cfg
from pycls.errors import ConfigError
from pycls.models.builders import build_meta_model, build_model
from pycls.models.counting import complexity
from pycls.models.networks.resnet import cifar_resnet, imagenet_resnet


def cifar_cfg(*overrides):
    return load_cfg(
        None, ["MODEL.TYPE", "resnet", "TRAIN.DATASET", "cifar10", "TRAIN.IM_SIZE", 32, *overrides]
    )


def imagenet_cfg(*overrides):
    return load_cfg(None, [
        "MODEL.TYPE", "resnet", "MODEL.DEPTH", 50, "RESNET.TRANS_FUN", "bottleneck_transform",
        "TRAIN.DATASET", "imagenet", *overrides,
    ])  # fmt: skip


def test_stride_is_in_the_1x1_on_request():
    first = build_meta_model(imagenet_cfg("RESNET.STRIDE_1X1", True))
    later = build_meta_model(imagenet_cfg("RESNET.STRIDE_1X1", False))
    for model, strides in ((first, ((2, 2), (1, 1))), (later, ((1, 1), (2, 2)))):
        assert (model.s2.b1.f.a.stride, model.s2.b1.f.b.stride) == strides
        assert model.s2.b2.f.b.stride == (1, 1)
        assert list(model.state_dict()) == list(first.state_dict())
    # The 1x1 of three blocks on a quarter of the positions, the rest as it was.
    saved = 3 * sum(w_in * v * n * n for w_in, v, n in
                    ((256, 128, 28), (512, 256, 14), (1024, 512, 7)))  # fmt: skip
    counts = [complexity(imagenet_cfg("RESNET.STRIDE_1X1", value)) for value in (True, False)]
    assert counts[1]["flops"] - counts[0]["flops"] == saved


def test_depth_20_has_three_blocks_a_stage():
    model = build_model(cifar_cfg("MODEL.DEPTH", 20))
    assert [len(stage) for stage in (model.s1, model.s2, model.s3)] == [3, 3, 3]
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_groups_and_their_width_double_by_stage():
    model = build_meta_model(imagenet_cfg("RESNET.NUM_GROUPS", 32, "RESNET.WIDTH_PER_GROUP", 4))
    convs = [stage.b1.f.b for stage in (model.s1, model.s2, model.s3, model.s4)]
    assert [c.out_channels for c in convs] == [128, 256, 512, 1024]
    assert {c.groups for c in convs} == {32}


def test_folder_names_above_the_data_set_do_not_choose_the_form():
    cfg = imagenet_cfg("TRAIN.DATASET", "/data/cifar_project/insects/")
    assert build_meta_model(cfg).stem.conv.kernel_size == (7, 7)


@pytest.mark.parametrize(
    ("make", "overrides", "message"),
    [
        (cifar_cfg, ("MODEL.DEPTH", 51), r"MODEL\.DEPTH is 51; the ResNet for CIFAR .* 6n \+ 2"),
        (cifar_cfg, ("MODEL.DEPTH", 56, "RESNET.NUM_GROUPS", 2), r"RESNET\.NUM_GROUPS is 2"),
        (imagenet_cfg, ("MODEL.DEPTH", 18), r"MODEL\.DEPTH is 18; .* has 50, 101, 152 layers"),
        (imagenet_cfg, ("RESNET.TRANS_FUN", "basic_transform"), r"RESNET\.TRANS_FUN is"),
    ],
)
def test_impossible_networks_are_named(make, overrides, message):
    with pytest.raises(ConfigError, match=message):
        make(*overrides)


def test_wrong_depths_are_refused_in_library_use():
    with pytest.raises(ValueError, match="not 18"):
        imagenet_resnet(18, 10)
    with pytest.raises(ValueError, match="not 51"):
        cifar_resnet(51, 10)
