"""Rank correlations of any table of errors: how well one data set predicts the others.

Example: python tools/analyze.py leaderboard.csv --reference imagenet --out analysis

The table has a row per architecture and a column per data set, or a row per architecture
and data set; a leaderboard, say. Several tables are joined by the architectures' names. Writes
correlations.csv, matrix.csv, figures and a report.
"""

import argparse
from pathlib import Path

from pycls.analysis.any_table.kinds import KINDS, UNITS
from pycls.analysis.any_table.read import LAYOUTS, read_table
from pycls.analysis.any_table.report import write_table_report
from pycls.analysis.any_table.rows import Request
from pycls.core.cli import CommandParser


def main() -> int:
    """Read the table, write the report, and say what was found."""
    args = _parse_args()
    known = {name: value for name, value in vars(args).items() if name not in ("tables", "out")}
    known |= {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
    first, *more = args.tables
    table = read_table(first, Request(**known), *more)
    for note in table.notes:
        print(note)
    for warning in write_table_report(table, args.out):
        print(f"warning: {warning}")
    print(args.out / "index.html")
    return 0


def _parse_args() -> argparse.Namespace:
    parser = CommandParser("analyze", __doc__)
    parser.add_argument(
        "tables", metavar="TABLE.csv", nargs="+",
        help="comma, semicolon, tab or bar separated; several: a data set each, named by the "
        "files, or columns of the same architectures",
    )  # fmt: skip
    parser.add_argument(
        "--reference", metavar="COL", required=True, help="column, data set, or file of several"
    )
    parser.add_argument(
        "--targets", metavar="COL", nargs="+", default=[], help="default: all that hold errors"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, required=True)
    kinds = parser.add_mutually_exclusive_group()
    for kind in KINDS:
        kinds.add_argument(
            f"--{kind}", dest="kind", action="store_const", const=kind, help=f"numbers are {kind}"
        )
    parser.add_argument("--unit", choices=UNITS, help="of the numbers (default: found)")
    layouts = parser.add_mutually_exclusive_group()
    for layout in LAYOUTS:
        layouts.add_argument(
            f"--{layout}", dest="layout", action="store_const", const=layout,
            help=f"the table is {layout} (default: found)",
        )  # fmt: skip
    parser.add_argument(
        "--arch", "--id", dest="id_columns", metavar="COL", nargs="+", default=[],
        help="columns that name the architectures, together (default: found)",
    )  # fmt: skip
    parser.add_argument(
        "--family", dest="family_column", metavar="COL",
        help="column of families (the sizes of one design), of which intervals then allow that "
        "members err together; one that names the architectures: families that names show",
    )  # fmt: skip
    parser.add_argument(
        "--average-repeats", action="store_true",
        help="average the rows of one architecture, such as of several seeds",
    )  # fmt: skip
    for what, better in (("scores", "higher"), ("costs", "lower")):
        parser.add_argument(
            f"--{what}", metavar="COL", nargs="+", default=[],
            help=f"columns that are no percentages and of which {better} is better",
        )  # fmt: skip
    for what, held, more in (("dataset", "data sets", ""), ("error", "numbers", ", several files")):
        parser.add_argument(
            f"--{what}", dest=f"{what}_column", metavar="COL",
            help=f"column of the {held} (long table{more})",
        )  # fmt: skip
    return parser.parse_args()
