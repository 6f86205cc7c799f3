"""Prepare data sets, and look at what is prepared.

Examples:
    python tools/prepare_data.py list
    python tools/prepare_data.py prepare digits textures
    python tools/prepare_data.py prepare textures --name textures16 --set size=16
    python tools/prepare_data.py verify digits
    python tools/prepare_data.py info textures --sheet textures.png
"""

import argparse
from pathlib import Path
from typing import Any

from pycls.datasets.catalog import CATALOG
from pycls.datasets.dataset import find_store, list_prepared, resolve_data_dir
from pycls.datasets.prepare import prepare
from pycls.datasets.store import SIDES, Store, open_store, verify_store
from pycls.errors import ConfigError, DataError, run_tool
from pycls.strict_yaml import parse_yaml


def main() -> int:
    """Run the command given on the command line."""
    args = _parse_args()
    return int(args.run(args))


def _parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="known data sets and what is prepared")
    listing.set_defaults(run=_list)

    making = commands.add_parser("prepare", help="prepare data sets; complete ones are left")
    making.add_argument("keys", nargs="+", metavar="KEY", help="data sets, see 'list'")
    making.add_argument("--name", help="name of the prepared set (with one KEY)")
    making.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="an option of the set that differs from its default (with one KEY)",
    )
    making.add_argument(
        "--replace", action="store_true", help="make it again if damaged or made otherwise"
    )
    making.set_defaults(run=_prepare)

    verifying = commands.add_parser("verify", help="compare all checksums of prepared sets")
    verifying.add_argument("sets", nargs="+", metavar="PATH|KEY")
    verifying.set_defaults(run=_verify)

    describing = commands.add_parser("info", help="counts, statistics and origin of a set")
    describing.add_argument("set", metavar="PATH|KEY")
    describing.add_argument(
        "--sheet", type=Path, metavar="PNG", help="write sample images of each class and side"
    )
    describing.set_defaults(run=_info)

    for command in (listing, making, verifying, describing):
        command.add_argument(
            "--out",
            dest="data_dir",
            metavar="DIR",
            help="folder of the prepared sets (default: $PYCLS_DATA, or else data)",
        )
    return parser.parse_args()


def _list(args: argparse.Namespace) -> int:
    folder = resolve_data_dir(args.data_dir)
    prepared = list_prepared(folder)
    width = max(map(len, (*CATALOG, *prepared)))
    print(f"known data sets ('*': prepared in {folder})")
    for key, entry in CATALOG.items():
        mark = "*" if key in prepared else " "
        print(f"{mark} {key:{width}}  {entry.num_classes} classes, {entry.im_size} x ", end="")
        print(f"{entry.im_size} pixels, {entry.error_metric}: {entry.description}")
        print(f"  {'':{width}}  {entry.source}; {entry.licence}")
    others = [name for name in prepared if name not in CATALOG]
    if others:
        print(f"also prepared: {', '.join(others)}")
    return 0


def _prepare(args: argparse.Namespace) -> int:
    if len(args.keys) > 1 and (args.name or args.set):
        raise ConfigError("--name and --set belong to one data set; give one KEY with them")
    options = dict(_parse_option(text) for text in args.set)
    for key in args.keys:
        path = prepare(key, args.data_dir, name=args.name, replace=args.replace, **options)
        store = open_store(path)
        counts = ", ".join(f"{sum(store.meta['counts'][side].values())} {side}" for side in SIDES)
        print(f"{path}: {counts} images, fingerprint {store.fingerprint[:12]}", flush=True)
    return 0


def _parse_option(text: str) -> tuple[str, Any]:
    option, equals, value = text.partition("=")
    if not equals or not option:
        raise ConfigError(f"--set {text}: expected OPTION=VALUE")
    return option, parse_yaml(value, f"--set {text}")


def _verify(args: argparse.Namespace) -> int:
    damaged = 0
    for name in args.sets:
        try:
            store = verify_store(find_store(name, args.data_dir))
            print(f"{store.path}: ok, {store.meta['num_images']} images", flush=True)
        except DataError as error:
            print(f"DAMAGED {error}", flush=True)
            damaged += 1
    return 1 if damaged else 0


def _info(args: argparse.Namespace) -> int:
    store = open_store(find_store(args.set, args.data_dir))
    _print_info(store)
    if args.sheet is not None:
        from pycls.datasets.sheet import write_sheet

        write_sheet(store, args.sheet)
        print(f"sample images: {args.sheet}")
    return 0


def _print_info(store: Store) -> None:
    meta = store.meta
    print(f"{meta['title']} ({store.path})")
    for label, key in (
        ("what", "description"),
        ("source", "source"),
        ("licence", "licence"),
        ("split", "split_rule"),
        ("error metric", "error_metric"),
        ("fingerprint", "fingerprint"),
    ):
        print(f"  {label}: {meta.get(key)}")
    print(f"  image size: {meta['im_size'][0]} x {meta['im_size'][1]} pixels")
    for key in ("mean", "std"):
        print(f"  train {key} (0..1): {', '.join(f'{value:.4f}' for value in meta[key])}")
    width = max(len("class"), *map(len, store.class_names))
    print(f"  {'class':{width}}  {'train':>8}  {'test':>8}")
    train, test = (meta["counts"][side] for side in SIDES)
    for name in store.class_names:
        print(f"  {name:{width}}  {train[name]:8d}  {test[name]:8d}")
    print(f"  {'all':{width}}  {sum(train.values()):8d}  {sum(test.values()):8d}")


if __name__ == "__main__":
    run_tool(main)
