"""Test one network: tools/test_net.py --cfg FILE TEST.WEIGHTS CHECKPOINT [KEY VALUE ...].

LAUNCH.MODE slurm tests in a job of its own, see docs/training.md.
"""

from pycls.core.cli import load_tool_cfg
from pycls.single.modes import is_submitted


def main() -> None:
    """Test the weights of TEST.WEIGHTS on the test side of TEST.DATASET."""
    cfg = load_tool_cfg("test_net", __doc__)
    if is_submitted(cfg):
        from pycls.single.submit import submit

        submit(cfg, "test")
        return
    from pycls.core.tester import describe_errors, test_model

    print(describe_errors(cfg, test_model(cfg)))
