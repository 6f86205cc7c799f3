"""Say of which class images are: a CSV with a row an image, and the probability of each class.

Images are decoded, cut and normalised as test_net does with those of TEST.DATASET, whose classes
they are given.

Examples:
    python tools/predict.py --cfg FILE --weights CHECKPOINT photographs/ --out classes.csv
    python tools/predict.py --cfg FILE --weights CHECKPOINT a.jpg b.png --set DATA.DIR data
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pycls.core.cli import CommandParser
from pycls.core.config import load_cfg
from pycls.errors import ConfigError
from pycls.files import csv_text, write_text

if TYPE_CHECKING:
    from pycls.zoo.prediction import Prediction


def main() -> int:
    """Predict the classes of images.

    Returns:
        The exit code: 1 where an image could not be read, which has no row.
    """
    parser = CommandParser("predict", __doc__)
    parser.add_argument("images", nargs="+", metavar="IMAGE_OR_FOLDER", help="what to look at")
    parser.add_argument("--cfg", required=True, metavar="FILE", help="configuration (YAML)")
    parser.add_argument(
        "--weights", metavar="FILE_OR_URL", help="a checkpoint (default: TEST.WEIGHTS)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the CSV there (default: print it)"
    )
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], dest="overrides", metavar="KEY VALUE",
        help="keys and the values to use instead, for example DATA.DIR data",
    )  # fmt: skip
    args = parser.parse_args()
    cfg = load_cfg(args.cfg, args.overrides)
    args.weights = args.weights or cfg.TEST.WEIGHTS
    if not args.weights:
        raise ConfigError("no weights are named; give --weights CHECKPOINT")
    if args.out and (args.out.is_dir() or not args.out.parent.is_dir()):
        raise ConfigError(f"--out {args.out}: expected a file in a folder that exists")

    from pycls.zoo.prediction import find_images, predict

    images = find_images(args.images)
    predictor, answers = predict(cfg, args.weights, images)
    read = [answer for answer in answers if not answer.problem]
    text = _to_csv(read, predictor.class_names)
    if args.out:
        write_text(args.out, text)
        print(f"{args.out}: {len(read):,} images, {len(predictor.class_names)} classes")
    else:
        print(text, end="")
    print(f"note: {args.weights}: {'. '.join(predictor.notes)}", file=sys.stderr)
    if images.left_out:
        print(f"note: left out, not images: {images.left_out:,}", file=sys.stderr)
    problems = [answer.problem for answer in answers if answer.problem]
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _to_csv(answers: "list[Prediction]", class_names: tuple[str, ...]) -> str:
    """Return the table: file, class, its probability, and that of each class (p_NAME)."""
    rows: list[list[str]] = [
        ["file", "class", "probability", *(f"p_{name}" for name in class_names)]
    ]
    for answer in answers:
        shares = answer.probabilities
        best = max(range(len(shares)), key=shares.__getitem__)
        values = (shares[best], *shares)
        rows.append([answer.file, class_names[best], *(f"{value:.6g}" for value in values)])
    return csv_text(rows)
