"""The command line that the tools for one network share."""

import argparse

from yacs.config import CfgNode

from pycls.core.config import load_cfg


def load_tool_cfg(description: str) -> CfgNode:
    """Parse ``--cfg FILE [KEY VALUE ...]`` and return the configuration.

    Raises:
        ConfigError: the configuration is not usable.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--cfg", required=True, metavar="FILE", help="configuration (YAML)")
    parser.add_argument(
        "overrides",
        nargs=argparse.REMAINDER,
        metavar="KEY VALUE",
        help="configuration keys and the values to use instead, for example OPTIM.BASE_LR 0.05",
    )
    args = parser.parse_args()
    return load_cfg(args.cfg, args.overrides)
