"""Measures how far what is luck at one stage of training is luck at the next one.

    python tools/study.py choose sweeps/embedded_choice.yaml
    python dev/carried_luck.py choices/embedded_choice

Trains the candidates of a choice to the end, all of them, and compares their answers after an
eighth, a quarter, a half and all of the epochs. The figures are in docs/statistics.md.
"""

import argparse
import itertools
import tempfile
from pathlib import Path

import numpy as np

from pycls.analysis.choosing.alike import alikeness, carried_share
from pycls.bits import unpack_bits
from pycls.core.config import load_cfg
from pycls.core.trainer import train_model


def main() -> None:
    """Print a line a pair of stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("choice", type=Path, help="folder of a choice")
    parser.add_argument("--networks", type=int, default=24, help="how many to train")
    args = parser.parse_args()
    paths = sorted((args.choice / "search").glob("*/cfgs/*.yaml"))[: args.networks]
    epochs = load_cfg(paths[0]).OPTIM.MAX_EPOCH
    stops = [max(1, epochs // part) for part in (8, 4, 2, 1)]
    with tempfile.TemporaryDirectory() as folder:
        wrong = np.array([_answers(path, stops, Path(folder)) for path in paths]).swapaxes(0, 1)
    alike = alikeness(wrong[-1])
    print(f"{len(paths)} networks, {wrong.shape[2]} test images; correlation {alike:.2f}")
    for (first, before), (last, after) in itertools.pairwise(zip(stops, wrong, strict=True)):
        carried = carried_share([(before, after)], alike)
        errors = " to ".join(f"{100 * side.mean():.1f}" for side in (before, after))
        print(f"epoch {first} to {last}: {errors} % wrong, carried {carried:.2f}")


def _answers(path: Path, stops: list[int], folder: Path) -> list[np.ndarray]:
    """Return which test images a network errs on, (images,), after each number of epochs."""
    rows = []
    for stop in stops:
        changes = ["OUT_DIR", str(folder / path.stem), "OPTIM.STOP_EPOCH", stop]
        changes += ["TEST.SPLIT", "test", "TEST.ANSWERS", True]
        found = train_model(load_cfg(path, changes))["answers"]
        rows.append(unpack_bits(found["top1"], found["images"]))
    return rows


if __name__ == "__main__":
    main()
