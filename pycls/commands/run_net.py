"""Do with one network what pycls's tool of this name does: train, test, time, describe or scale it.

Example: python tools/run_net.py --mode train --cfg FILE OUT_DIR runs/a

The tools train_net, test_net, time_net and model_info do the same, and have more options.
"""

import sys
from collections.abc import Callable

from pycls.core.cli import CommandParser, add_cfg_arguments
from pycls.registry import import_object

# --mode -> (tool, its words before the keys)
_MODES: dict[str, tuple[str, Callable[[str], list[str]]]] = {
    "train": ("train_net", lambda cfg: ["--cfg", cfg]),
    "test": ("test_net", lambda cfg: ["--cfg", cfg]),
    "time": ("time_net", lambda cfg: ["--cfg", cfg, "--set"]),
    "info": ("model_info", lambda cfg: [cfg, "--set"]),
    # By MODEL.SCALING_TYPE and MODEL.SCALING_FACTOR.
    "scale": ("model_info", lambda cfg: [cfg, "--set"]),
}


def main() -> int | None:
    """Run the tool that does what --mode says."""
    parser = CommandParser("run_net", __doc__)
    parser.add_argument("--mode", required=True, choices=_MODES, help="what to do")
    add_cfg_arguments(parser)
    args = parser.parse_with_keys()
    tool, words = _MODES[args.mode]
    before = words(args.cfg)
    if not args.overrides and before[-1] == "--set":
        before.pop()
    sys.argv[1:] = [*before, *args.overrides]
    main_of_tool: Callable[[], int | None] = import_object(f"pycls.commands.{tool}:main")
    return main_of_tool()
