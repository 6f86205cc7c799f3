"""Every kind of network trains, tests and goes on after an interruption."""

import pytest
import torch
from run_checkpoints import last_checkpoint

from pycls.core.runs import paths
from pycls.core.tester import test_model as measure_errors
from pycls.core.trainer import train_model
from pycls.core.weights import checkpoint

pytestmark = pytest.mark.slow

NETWORKS = {
    "regnety": (
        "MODEL.TYPE", "regnet", "REGNET.STEM_TYPE", "res_stem_cifar", "REGNET.STEM_W", 8,
        "REGNET.DEPTH", 4, "REGNET.W0", 8, "REGNET.WA", 8.0, "REGNET.GROUP_W", 4,
        "REGNET.STRIDE", 1, "REGNET.SE_ON", True,
    ),
    "resnet": ("MODEL.TYPE", "resnet", "MODEL.DEPTH", 8),
    "effnet": (
        "MODEL.TYPE", "effnet", "MODEL.ACTIVATION_FUN", "silu", "EN.STEM_W", 16,
        "EN.DEPTHS", [2, 2], "EN.WIDTHS", [16, 24], "EN.EXP_RATIOS", [1, 4], "EN.STRIDES", [1, 1],
        "EN.KERNELS", [3, 5], "EN.HEAD_W", 64, "EN.DC_RATIO", 0.2, "EN.DROPOUT_RATIO", 0.1,
    ),
    "vit": (
        "MODEL.TYPE", "vit", "VIT.PATCH_SIZE", 2, "VIT.NUM_LAYERS", 2, "VIT.NUM_HEADS", 2,
        "VIT.HIDDEN_DIM", 32, "VIT.MLP_DIM", 64, "OPTIM.BASE_LR", 0.1,
    ),
    "timm": (
        "MODEL.TYPE", "timm", "TIMM.NAME", "test_efficientnet",
        "TIMM.ARGS", ["drop_rate=0.1", "drop_path_rate=0.1"],
    ),
    "torchvision": (
        "MODEL.TYPE", "torchvision", "TORCHVISION.NAME", "shufflenet_v2_x0_5",
        "OPTIM.BASE_LR", 0.1,
    ),
}  # fmt: skip


def last_state(cfg):
    return checkpoint.load_checkpoint(last_checkpoint(cfg.OUT_DIR))


@pytest.mark.parametrize("name", NETWORKS)
def test_network_trains_and_resumes_to_the_same_bits(name, digits_cfg, digits_dir, tmp_path):
    overrides = list(NETWORKS[name])
    if name == "resnet":
        # The form for CIFAR is chosen by the data set's name.
        (tmp_path / "cifar_digits").symlink_to(digits_dir / "digits")
        where = str(tmp_path / "cifar_digits")
        overrides += ["TRAIN.DATASET", where, "TEST.DATASET", where]
    overrides += ["OPTIM.MAX_EPOCH", 4, "BN.USE_PRECISE_STATS", True]
    whole = digits_cfg(*overrides, "OUT_DIR", str(tmp_path / "whole"))
    record = train_model(whole)
    assert record["result"]["final_top1_err"] < 85  # 90 by guessing

    resumed = digits_cfg(*overrides, "OUT_DIR", str(tmp_path / "resumed"))
    train_model(resumed)
    for epoch in (2, 3):  # as killed in the third epoch
        paths.checkpoint_path(resumed.OUT_DIR, epoch).unlink()
    (tmp_path / "resumed" / "run.json").unlink()
    train_model(resumed)
    a, b = last_state(whole), last_state(resumed)
    assert all(torch.equal(v, b["model_state"][k]) for k, v in a["model_state"].items())

    errors = measure_errors(
        digits_cfg(*overrides, "TEST.WEIGHTS", str(last_checkpoint(whole.OUT_DIR)))
    )
    assert errors["top1_err"] == pytest.approx(record["result"]["final_top1_err"])
