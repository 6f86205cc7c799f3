"""Write the paper's figures and tables for a study: tools/figures.py FOLDER [options]."""

import argparse
from pathlib import Path

from pycls.analysis.paper.outputs import OUTPUTS
from pycls.analysis.paper.write import FORMATS, write_outputs
from pycls.core.cli import CommandParser


def main() -> int:
    """Write the outputs that the command line names; say which lack runs, and why."""
    args = _parse_args()
    if args.list:
        for output in OUTPUTS.values():
            print(f"{output.key:9} {output.title} (needs {output.needs})")
        return 0
    written = write_outputs(args.folder, args.out, args.only, args.formats)
    for each in written:
        files = " ".join(path.name for path in each.paths)
        print(f"{each.key:9} {files or f'skipped: {each.reason}'}")
    made = [each for each in written if each.paths]
    place = f", in {made[0].paths[0].parent}" if made else ""
    print(f"{len(made)} of {len(written)} figures and tables written{place}")
    return 0


def _parse_args() -> argparse.Namespace:
    parser = CommandParser(
        "figures", "Write every figure and table of the paper that a study has the runs for."
    )
    parser.add_argument("folder", metavar="FOLDER", nargs="?", type=Path, help="a study's folder")
    parser.add_argument("--only", metavar="KEY", nargs="+", default=[], help="such as fig3 table3")
    parser.add_argument("--out", metavar="DIR", type=Path, help="default: FOLDER/paper")
    parser.add_argument(
        "--formats", metavar="F", nargs="+", default=FORMATS, help="of the figures: svg, pdf, png"
    )
    parser.add_argument("--list", action="store_true", help="list the outputs and what they need")
    args = parser.parse_args()
    if args.folder is None and not args.list:
        parser.error("name a study's folder, or --list")
    return args
