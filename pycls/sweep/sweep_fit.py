"""Making drawn widths and group widths of AnyNets go together, as pycls's sweep set-up does."""

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.models.widths import make_compatible
from pycls.sweep import anynet_count
from pycls.sweep.sweep_rows import as_column


def fit_lists(widths: NDArray, bot_muls: NDArray, group_ws: NDArray) -> dict[str, NDArray]:
    """Return widths and group widths that go together; n x S each, or objects."""
    if any(array.dtype == object for array in (widths, bot_muls, group_ws)):
        return _fit_objects(widths, bot_muls, group_ws)
    shape = widths.shape
    bot_muls = bot_muls if bot_muls.shape[1] else np.ones(shape)
    group_ws = group_ws if group_ws.shape[1] else np.ones(shape, dtype=np.int64)
    if not shape == bot_muls.shape == group_ws.shape:
        raise ConfigError(
            f"ANYNET.WIDTHS, BOT_MULS and GROUP_WS have {shape[1]}, {bot_muls.shape[1]} and "
            f"{group_ws.shape[1]} values; expected one a stage each"
        )
    if ((bot_muls > 1) & (bot_muls != np.trunc(bot_muls))).any():
        raise ConfigError("ANYNET.BOT_MULS above 1 must be whole numbers")
    fitted = anynet_count.make_compatible(widths, bot_muls, round_group_ws(group_ws))
    return dict(zip(("ANYNET.WIDTHS", "ANYNET.GROUP_WS"), fitted, strict=True))


def _fit_objects(widths: NDArray, bot_muls: NDArray, group_ws: NDArray) -> dict[str, NDArray]:
    """Do the same for lists that differ in length, row by row."""
    rows = []
    for w, b, g in zip(widths.tolist(), bot_muls.tolist(), group_ws.tolist(), strict=True):
        rounded = round_group_ws(np.array(g or [1] * len(w))).tolist()
        try:
            rows.append(make_compatible(w, b or [1.0] * len(w), rounded))
        except ValueError:  # of zip: a list of another length
            raise ConfigError(
                f"ANYNET.WIDTHS {w}, BOT_MULS {b} and GROUP_WS {g}: expected one value a stage each"
            ) from None
    return {
        "ANYNET.WIDTHS": as_column([row[0] for row in rows]),
        "ANYNET.GROUP_WS": as_column([row[1] for row in rows]),
    }


def round_group_ws(group_ws: NDArray[np.int64]) -> NDArray[np.int64]:
    """Round group widths as :func:`pycls.models.scaler.round_group_w`, all at once."""
    to_eight = (np.rint(group_ws / 8) * 8).astype(np.int64)
    return np.where(group_ws <= 2, group_ws, np.where(group_ws <= 5, 4, to_eight))
