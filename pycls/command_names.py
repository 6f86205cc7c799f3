"""The table of the commands: each is a file in tools/, a console script, and a module.

`tools/NAME.py` of a checkout and the command that an installation has run the function `main` of
`pycls/commands/NAME.py`. Only the standard library is imported: setup.py runs this file.
"""

import re
import sys
from pathlib import Path

TOOLS = {
    "study": "pycls-study",
    "prepare_data": "pycls-data",
    "train_net": "pycls-train",
    "test_net": "pycls-test",
    "predict": "pycls-predict",
    "run_net": "pycls-run",
    "time_net": "pycls-time",
    "model_info": "pycls-info",
    "export_net": "pycls-export",
    "sample_population": "pycls-sample",
    "sweep_setup": "pycls-sweep-setup",
    "sweep_launch": "pycls-sweep-launch",
    "sweep_collect": "pycls-sweep-collect",
    "sweep_analyze": "pycls-sweep-analyze",
    "figures": "pycls-figures",
    "analyze": "pycls-analyze",
}
_TOOL = re.compile(r"(?:\.venv/bin/)?(?:python )?\btools/(\w+)\.py\b")


def command_name(tool: str) -> str:
    """Return how a user starts a tool: "tools/study.py" in a checkout, else "pycls-study"."""
    return f"tools/{tool}.py" if _in_checkout() else TOOLS[tool]


def as_typed(text: str) -> str:
    """Return a text with the tools that it names called as the user starts them."""
    if "tools/" not in text or _in_checkout():
        return text
    return _TOOL.sub(lambda found: TOOLS.get(found[1], found[0]), text)


def _in_checkout() -> bool:
    """Say whether tools are started by their files: there are such, and no command was used."""
    if Path(sys.argv[0] if sys.argv else "").stem in TOOLS.values():
        return False
    return (Path(__file__).resolve().parents[1] / "tools").is_dir()
