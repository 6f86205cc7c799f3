"""Test one network: tools/test_net.py --cfg FILE TEST.WEIGHTS CHECKPOINT [KEY VALUE ...]."""

from pycls.core.cli import load_tool_cfg
from pycls.schema import BALANCED


def main() -> None:
    """Test the weights of TEST.WEIGHTS on the test side of TEST.DATASET."""
    cfg = load_tool_cfg("test_net", __doc__)
    from pycls.core.tester import test_model

    errors = test_model(cfg)
    topk = min(5, cfg.MODEL.NUM_CLASSES)
    balanced = f", balanced {errors[BALANCED]:.2f} %" if BALANCED in errors else ""
    print(
        f"test error {errors['top1_err']:.2f} % top-1, {errors['top5_err']:.2f} % top-{topk}"
        f"{balanced}"
    )
