"""What the final networks answer on the test side, which is read once.

What was chosen is settled by then, by the validation errors alone.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from pycls import files
from pycls.bits import pack_bits
from pycls.choose.choice import Choice
from pycls.core.config.load import load_cfg
from pycls.core.runs.paths import checkpoint_path
from pycls.errors import PyclsError
from pycls.schema import CHOICE_TEST
from pycls.study.runs import Run
from pycls.study.study import StudyFolder


def read_test_side(choice: Choice) -> dict[str, Any]:
    """Return, and write into the choice's folder, what the final networks do on the test side.

    Where the file is there, the test side is not read again.

    Returns:
        "images" (how many), "metric", and "runs": name, contestant, arch, seed, weights (relative
        to the folder), validation_error and test_error in percent, and wrong (a bit an image, as
        hexadecimal digits) of each.

    Raises:
        PyclsError: a final network is missing.
    """
    final = choice.final
    if final is None:
        raise PyclsError(f"{choice.folder}: nothing is chosen yet")
    path = choice.folder / CHOICE_TEST
    stored = _read_stored(path)
    if stored and [run["run"] for run in stored["runs"]] == [run.id for run in final.runs]:
        return stored
    rows, images, metric = [], 0, choice.metric(final, final.runs[0])
    for run in final.runs:
        error = choice.validation_error(run)
        if error is None or error != error:
            continue
        wrong = _wrong_answers(final, run, metric)
        images = len(wrong)
        rows.append(
            {
                "run": run.id,
                "contestant": run.sweep,
                "arch": run.arch.arch,
                "seed": run.seed,
                "weights": str(_weights(final, run).relative_to(choice.folder)),
                "validation_error": error,
                "test_error": 100 * float(wrong.mean()),
                "wrong": pack_bits(wrong),
            }
        )
    if not rows:
        raise PyclsError(f"{final.folder}: all final trainings have failed; the status says why")
    found = {"images": images, "metric": metric, "runs": rows}
    files.write_json(path, found)
    return found


def _read_stored(path: Path) -> dict[str, Any] | None:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def _weights(study: StudyFolder, run: Run) -> Path:
    return checkpoint_path(study.out_dir(run), study.epochs(study.spec.datasets[run.dataset]) - 1)


def _wrong_answers(study: StudyFolder, run: Run, metric: str) -> np.ndarray:
    """Return for each test image, in the set's order, whether the network errs on it."""
    import torch

    from pycls.core.env import move_model, run_settings
    from pycls.core.loaders import build_loader
    from pycls.core.meters import topk_right
    from pycls.core.precision import Precision
    from pycls.core.weights.weights import load_weights_into, read_weights
    from pycls.models.builders import build_model

    # One thread: sums of several are split otherwise, and end in other bits.
    cfg = load_cfg(study.cfg_path(run), ["TEST.SPLIT", "test", "NUM_THREADS", 1])
    right = []
    with run_settings(cfg) as device, torch.no_grad():
        loader = build_loader(cfg, "TEST", device)
        model = build_model(cfg)
        load_weights_into(model, read_weights(str(_weights(study, run))))
        model = move_model(model, cfg, device).eval()
        precision, topk = Precision(cfg, device), min(5, cfg.MODEL.NUM_CLASSES)
        for images, labels in loader.epoch(0):
            with precision.autocast():
                logits = model(images)
            right.append(topk_right(logits, labels, topk)[:, int(metric == "top5")].cpu())
    return ~torch.cat(right).numpy()
