"""Prepare data sets, and look at what is prepared.

Examples:
    python tools/prepare_data.py list
    python tools/prepare_data.py prepare digits textures
    python tools/prepare_data.py prepare textures --name textures16 --set size=16
    python tools/prepare_data.py prepare concrete --raw 5y9wdsg2zt-2.zip --out data
    python tools/prepare_data.py prepare folder --raw birds/ --name birds --size 128
    python tools/prepare_data.py verify digits
    python tools/prepare_data.py info textures --sheet textures.png
    python tools/prepare_data.py info birds --files test
    python tools/prepare_data.py duplicates birds --csv alike.csv
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from pycls import files
from pycls.core.cli import CommandParser
from pycls.datasets.catalog.catalog import CATALOG, find_entry
from pycls.datasets.opening.dataset import Dataset, open_dataset
from pycls.datasets.opening.locate import locate, resolve_data_dir
from pycls.datasets.preparation.describe import (
    describe_catalog,
    describe_classes,
    describe_options,
    describe_set,
)
from pycls.datasets.preparation.prepare import prepare
from pycls.datasets.readers.layout import printable
from pycls.datasets.sources.decode import MOST_PIXELS
from pycls.datasets.sources.sieve import MOST_UNPACKED
from pycls.datasets.store.store import SIDES, VALIDATION, is_store, open_store, verify_store
from pycls.errors import ConfigError, DataError
from pycls.progress import Progress
from pycls.strict_yaml import parse_yaml

_MOST_SHOWN = 40


def main() -> int:
    """Run the command given on the command line."""
    args = _parse_args()
    return int(args.run(args))


def _parse_args() -> argparse.Namespace:
    parser = CommandParser("prepare_data", __doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="known data sets and what is prepared")
    listing.set_defaults(run=_list)

    making = commands.add_parser(
        "prepare",
        help="prepare data sets; complete ones are left",
        epilog=describe_options(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    making.add_argument("keys", nargs="+", metavar="KEY", help="data sets, see 'list'")
    making.add_argument(
        "--raw",
        type=Path,
        metavar="PATH",
        help="the download of a set that needs one: archive, folder or file (with one KEY)",
    )
    making.add_argument("--name", help="name of the prepared set (with one KEY)")
    making.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="an option of the set that differs from its default, see below (with one KEY)",
    )
    making.add_argument(
        "--size", type=int, metavar="N", help="side of the images in pixels, as --set size=N"
    )
    making.add_argument(
        "--workers", type=int, metavar="N", help="processes that decode (default: usable cores)"
    )
    making.add_argument(
        "--replace", action="store_true", help="make it again if damaged or made otherwise"
    )
    making.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="leave out files and folders of --raw by a pattern of their names, such as '*.txt' "
        "(may be given again)",
    )
    making.add_argument(
        "--max-pixels",
        type=int,
        default=MOST_PIXELS,
        metavar="N",
        help=f"refuse images of more pixels (default: {MOST_PIXELS:,})",
    )
    making.add_argument(
        "--max-unpacked-gb",
        type=float,
        default=MOST_UNPACKED / 1e9,
        metavar="N",
        help="refuse archives that become more than 200 times their size if that is over N GB "
        "(default: %(default)g)",
    )
    making.add_argument(
        "--drop-unreadable",
        action="store_true",
        help="leave out images that cannot be read, and list them in the set's report",
    )
    making.set_defaults(run=_prepare)

    verifying = commands.add_parser("verify", help="compare all checksums of prepared sets")
    verifying.add_argument("sets", nargs="+", metavar="PATH|KEY")
    verifying.set_defaults(run=_verify)

    describing = commands.add_parser("info", help="counts, statistics and origin of a set")
    describing.add_argument("set", metavar="PATH|KEY|VIEW")
    describing.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help="write sample images of each class and side, as .png or .jpg",
    )
    describing.add_argument(
        "--files",
        choices=(*SIDES, VALIDATION),
        metavar="SIDE",
        help="print the names of the images of a side only: train, test or validation",
    )
    describing.add_argument(
        "--all-classes", action="store_true", help="list every class of a set of many"
    )
    describing.set_defaults(run=_info)

    comparing = commands.add_parser(
        "duplicates", help="find images of a set that nearly look alike (re-encoded, resized)"
    )
    comparing.add_argument("set", metavar="PATH|KEY")
    comparing.add_argument("--csv", type=Path, metavar="FILE", help="write all of them as a table")
    comparing.set_defaults(run=_duplicates)

    for command in (listing, making, verifying, describing, comparing):
        command.add_argument(
            "--out",
            "--data-dir",
            dest="data_dir",
            metavar="DIR",
            help="folder of the prepared sets (default: $PYCLS_DATA, or else data)",
        )
    return parser.parse_args()


def _list(args: argparse.Namespace) -> int:
    print(describe_catalog(resolve_data_dir(args.data_dir)))
    return 0


def _prepare(args: argparse.Namespace) -> int:
    options = dict(_parse_option(text, args.keys[0]) for text in args.set)
    if args.size is not None:
        options["size"] = args.size
    _refuse_paths(args.keys)
    if len(args.keys) > 1 and (args.name or options or args.raw):
        raise ConfigError(
            "--name, --raw, --size and --set belong to one data set; give one KEY with them"
        )
    for key in args.keys:
        path = prepare(
            key,
            args.data_dir,
            raw=args.raw,
            name=args.name,
            replace=args.replace,
            workers=args.workers,
            progress=Progress(sys.stderr),
            drop_unreadable=args.drop_unreadable,
            max_pixels=args.max_pixels,
            max_unpacked=round(args.max_unpacked_gb * 1e9),
            exclude=args.exclude,
            **options,
        )
        store = open_store(path)
        found = store.meta["counts"]  # its order is that of the file
        counts = ", ".join(f"{sum(found[side].values())} {side}" for side in store.sides)
        print(f"{path}: {counts} images, fingerprint {store.fingerprint[:12]}", flush=True)
        for note in store.meta.get("notes", ()):
            print(f"  {note}", flush=True)
        lines = describe_classes(_open_sides(path))
        print("\n".join(f"  {line}" for line in lines), flush=True)
    return 0


def _open_sides(name: str | Path, data_dir: str | None = None) -> list[Dataset]:
    """Return the sides of a set or view: train, test and, where it has one, validation."""
    train, test = (open_dataset(name, side, data_dir) for side in SIDES)
    more = [VALIDATION] * (len(train.store.sides) - len(SIDES))
    return [train, test, *(open_dataset(name, side, data_dir) for side in more)]


def _refuse_paths(keys: list[str]) -> None:
    """Say where a path belongs that stands in the place of a key."""
    known = next((key for key in keys if key in CATALOG), "folder")
    for key in keys:
        if key not in CATALOG and Path(key).exists():
            name = "" if CATALOG[known].num_classes else " --name NAME"
            raise ConfigError(
                f"'{key}' is a {'folder' if Path(key).is_dir() else 'file'}, not a data set; "
                f"to prepare what is in it: prepare {known} --raw {shlex.quote(key)}{name}"
            )


def _parse_option(text: str, key: str) -> tuple[str, Any]:
    option, equals, value = text.partition("=")
    if not equals or not option:
        raise ConfigError(f"--set {text}: expected OPTION=VALUE")
    parsed = parse_yaml(value, f"--set {text}")
    is_text = isinstance(find_entry(key).options.get(option), str)
    # A text may look like something else: the column `0`, the value `yes`.
    return option, value if is_text and not isinstance(parsed, str) else parsed


def _verify(args: argparse.Namespace) -> int:
    damaged = 0
    stores = {name: _find_whole(name, args.data_dir) for name in args.sets}
    for name in args.sets:
        try:
            store = verify_store(stores[name])
            print(f"{store.path}: ok, {store.meta['num_images']} images", flush=True)
        except DataError as error:
            print(f"DAMAGED {error}", flush=True)
            damaged += 1
    return 1 if damaged else 0


def _find_whole(name: str, data_dir: str | None) -> Path:
    """Return the folder of a set, or of the set that a view is a part of, which is said."""
    path, views = locate(name, data_dir)
    if not is_store(path):
        open_store(path)  # says what is missing
    if views:
        print(f"'{name}' is a view of '{path.name}', which is compared whole", flush=True)
    return path


def _duplicates(args: argparse.Namespace) -> int:
    from pycls.datasets.preparation.near_duplicates import find_near_duplicates

    store = open_store(_find_whole(args.set, args.data_dir))
    clusters = find_near_duplicates(store.images)
    rows = [
        (
            number,
            store.sides[store.split[at]],
            store.class_names[store.labels[at]],
            store.names[at] if store.names else f"image {at}",
        )
        for number, cluster in enumerate(clusters, start=1)
        for at in cluster
    ]
    mixed = sum(len(set(store.split[cluster].tolist())) > 1 for cluster in clusters)
    several = "both" if len(store.sides) == len(SIDES) else "several"
    labels = sum(len(set(store.labels[cluster].tolist())) > 1 for cluster in clusters)
    print(
        f"{store.path}: {len(rows):,} of {len(store.labels):,} images nearly look like others, in "
        f"{len(clusters):,} groups; {mixed:,} groups are on {several} sides, {labels:,} have "
        "several labels"
    )
    for number, side, label, name in rows[:_MOST_SHOWN]:
        print(f"  group {number}: {side}, {printable(label)}, {printable(name)}")
    if len(rows) > _MOST_SHOWN:
        print(f"  ... and {len(rows) - _MOST_SHOWN:,} more (--csv FILE writes all)")
    if mixed:
        print("to keep each group on one side: prepare ... --set near_duplicates=group")
    if args.csv is not None:
        args.csv.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(args.csv, files.csv_text([("group", "side", "class", "name"), *rows]))
    return 0


def _info(args: argparse.Namespace) -> int:
    if args.files is not None:
        dataset = open_dataset(args.set, args.files, args.data_dir)
        if dataset.names is None:
            raise DataError(
                f"{dataset.store.path}: keeps no names of images, being of arrays or of a version "
                "before 0.4.0; --replace makes it again"
            )
        print("\n".join(map(printable, dataset.names)))
        return 0
    sides = _open_sides(args.set, args.data_dir)
    print(describe_set(sides, args.all_classes))
    if args.sheet is not None:
        from pycls.datasets.preparation.sheet import write_sheet

        numbered = write_sheet(sides[0], sides[1], args.sheet)
        print(f"sample images: {args.sheet}")
        if numbered:
            print("\n".join(("  by their numbers, for want of letters:", *numbered)))
    return 0
