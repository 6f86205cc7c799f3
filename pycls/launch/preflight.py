"""What is checked of a sweep's runs, once, before any of them is launched."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pycls.core.config.load import load_cfg
from pycls.core.inputs import find_missing

# Sections of a configuration that say what a run reads, and whether that fits.
_OF_INPUTS = re.compile(r"^(?:DATA|MODEL|TEST|TRAIN):.*\n(?:[ -].*\n)*", re.MULTILINE)


def find_missing_inputs(paths: Iterable[Path], overrides: Sequence[str] = ()) -> list[str]:
    """Return what has to be there before runs can begin, a sentence each.

    Of configurations that say the same about data, weights and batches one is looked at: sweeps
    have thousands, and differ in little.

    Args:
        paths: the configurations of the runs.
        overrides: keys and values that they get at their launch.

    Raises:
        ConfigError: a configuration cannot be used, or a run could never begin.
    """
    seen: set[str] = set()
    missing: dict[str, None] = {}
    for path in paths:
        said = "".join(_OF_INPUTS.findall(path.read_text(encoding="utf-8")))
        if said not in seen:
            seen.add(said)
            missing |= dict.fromkeys(find_missing(load_cfg(path, overrides), str(path)))
    return list(missing)
