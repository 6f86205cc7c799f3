"""What a YAML file is by its keys: the configuration of one network, a sweep file, a study file."""

import shlex
from collections.abc import Collection

from pycls.errors import ConfigError

NETWORK, SWEEP, STUDY = "configuration of one network", "sweep file", "study file"
# What each is recognised by, and done with.
_KEYS = {SWEEP: {"SETUP"}, STUDY: {"population", "datasets"}, NETWORK: {"MODEL"}}
_USE = {
    SWEEP: "set the sweep up: tools/sweep_setup.py --sweep-cfg {}",
    STUDY: "run the study: tools/study.py run {}",
    NETWORK: "train the network: tools/train_net.py --cfg {} OUT_DIR runs/NAME",
}


def refuse_other_kind(keys: Collection[object], where: str, expected: str) -> None:
    """Refuse a file of another kind, by what it is.

    Args:
        keys: those at the top of the file.
        where: the file.
        expected: NETWORK, SWEEP or STUDY.

    Raises:
        ConfigError: it is another one of them.
    """
    found = [kind for kind, needed in _KEYS.items() if needed <= set(keys)]
    if expected in found or not found:
        return
    listed = " and ".join(sorted(_KEYS[found[0]]))
    raise ConfigError(
        f"{where}: is a {found[0]} (it has {listed}), where a {expected} is expected; "
        f"{_USE[found[0]].format(shlex.quote(where))}"
    )
