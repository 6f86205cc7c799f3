"""Speed, processor use and memory of preparing photographs of 500 x 375 pixels at 256.

Makes a folder of JPEGs of about 100 KB, crops of photographs that come inside packages; few are
encoded, and changed quantisation tables make each differ from all others in its pixels. Then
prepares them with tools/prepare_data.py, as a user would. The files have just been written, so
they are read from memory, not from disk. With --against, another checkout prepares the same
files in turn, and the ratio of the times is printed.

    python dev/bench_prepare.py [--images 20000] [--workers N] [--dir DIR] [--json FILE]
        [--against CHECKOUT] [--repeats N]
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pycls import files
from pycls.cores import usable_cores
from pycls.datasets.readers.embedded import load_picture

HERE = Path(__file__).resolve().parents[1]
PICTURES = ("astronaut", "chelsea", "china", "flower", "motorcycle")
WIDTH, HEIGHT, SIZE = 500, 375, 256
DISTINCT = 50
CLASSES = 20
TARGET_BYTES = 100_000
SAMPLE_EVERY_S = 0.2


def main() -> None:
    """Make the files, prepare them, print figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--dir", type=Path, help="where to put up to 6 GB (default: temporary)")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--against", type=Path, help="a checkout to compare with")
    parser.add_argument("--repeats", type=int, default=1, help="times that each prepares")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        raw = Path(folder) / "raw"
        mean_bytes = make_files(raw, args.images)
        print(f"{args.images:,} JPEGs of {WIDTH} x {HEIGHT}, {mean_bytes / 1000:.0f} kB on average")
        runs = []
        for repeat in range(args.repeats):
            # In turn, and each first once in two, so that what drifts affects both.
            roots = [HERE, args.against][:: 1 - 2 * (repeat % 2)] if args.against else [HERE]
            for root in roots:
                out = Path(folder) / "out"
                runs.append((root, measure(raw, out, args.workers, root)))
                shutil.rmtree(out)
    figures = min((found for root, found in runs if root == HERE), key=lambda f: f["wall_s"])
    if args.against:
        figures["ratio"] = compare(runs, "wall_s")
        print(
            f"time compared with {args.against}: {figures['ratio']:.3f} (medians of "
            f"{args.repeats}); processor time: {compare(runs, 'cpu_s'):.3f}"
        )
    figures = {"images": args.images, "workers": args.workers, **figures}
    figures["images_per_s"] = args.images / figures["wall_s"]
    print(
        f"{args.images:,} images in {figures['wall_s']:.1f} s with {args.workers} workers: "
        f"{figures['images_per_s']:.0f} images/s\n"
        f"processor time {figures['cpu_s']:.1f} s: {figures['cpu_s'] / figures['wall_s']:.2f} of "
        f"{usable_cores()} cores busy on average\n"
        f"peak memory of all processes: {figures['peak_pss_mb']:.0f} MB (shared pages counted "
        f"once), {figures['peak_rss_mb']:.0f} MB (sum of resident sizes)"
    )
    if args.json:
        files.write_json(args.json, figures)


def compare(runs: list[tuple[Path, dict[str, Any]]], what: str) -> float:
    """Return the median of a figure of this checkout's runs over that of the other's."""
    ours = [found[what] for root, found in runs if root == HERE]
    theirs = [found[what] for root, found in runs if root != HERE]
    return float(np.median(ours) / np.median(theirs))


def make_files(folder: Path, count: int) -> float:
    """Write the JPEGs in class folders; return their mean size in bytes."""
    encoded = [_encode(seed) for seed in range(DISTINCT)]
    for label in range(CLASSES):
        (folder / f"class{label:02d}").mkdir(parents=True)
    total = 0
    for number in range(count):
        data = _vary(encoded[number % DISTINCT], number // DISTINCT)
        path = folder / f"class{number % CLASSES:02d}" / f"{number:06d}.jpg"
        path.write_bytes(data)
        total += len(data)
    return total / count


def _vary(data: bytes, number: int) -> bytes:
    """Change the first steps of a JPEG's first quantisation table, in a way of its own."""
    changed = bytearray(data)
    start = data.index(b"\xff\xdb") + 5
    for place in range(8):
        number, digit = divmod(number, 3)
        changed[start + place] += digit
    return bytes(changed)


def _encode(seed: int) -> bytes:
    """Encode a crop of a photograph at the quality that comes nearest to the wanted size."""
    generator = np.random.default_rng(seed)
    photograph = Image.fromarray(load_picture(PICTURES[seed % len(PICTURES)])[..., :3])
    scale = max(WIDTH / photograph.width, HEIGHT / photograph.height, 1.0) * 1.1
    photograph = photograph.resize(
        (round(photograph.width * scale), round(photograph.height * scale))
    )
    left = int(generator.integers(0, photograph.width - WIDTH + 1))
    top = int(generator.integers(0, photograph.height - HEIGHT + 1))
    crop = photograph.crop((left, top, left + WIDTH, top + HEIGHT))
    candidates = []
    for quality in (85, 90, 93, 95, 97):
        file = io.BytesIO()
        crop.save(file, "JPEG", quality=quality)
        candidates.append(file.getvalue())
    return min(candidates, key=lambda data: abs(len(data) - TARGET_BYTES))


def measure(raw: Path, out: Path, workers: int, root: Path) -> dict[str, Any]:
    """Prepare a folder with a checkout in a process of its own; return times and memory."""
    command = [
        sys.executable, str(root / "tools" / "prepare_data.py"), "prepare", "folder",
        "--raw", str(raw), "--name", "bench", "--out", str(out), "--size", str(SIZE),
        "--workers", str(workers),
    ]  # fmt: skip
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(root)}
    # Workers are started as modules, which are looked for in the working folder first.
    process = subprocess.Popen(command, env=environment, cwd=root, stdout=subprocess.DEVNULL)
    peaks = {"pss": 0, "rss": 0}
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        for kind, value in _measure_memory(process.pid).items():
            peaks[kind] = max(peaks[kind], value)
        time.sleep(SAMPLE_EVERY_S)
    wall_s = time.perf_counter() - start
    if status:
        raise SystemExit("the preparation failed")
    return {
        "wall_s": wall_s,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_pss_mb": peaks["pss"] / 1e6,
        "peak_rss_mb": peaks["rss"] / 1e6,
    }


def _measure_memory(pid: int) -> dict[str, int]:
    """Return the memory of a process and all below it, in bytes."""
    total = {"pss": 0, "rss": 0}
    for process in _list_tree(pid):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # it has just ended
        for line in lines:
            kind = line.partition(":")[0].lower()
            if kind in total:
                total[kind] += int(line.split()[1]) * 1024
    return total


def _list_tree(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").glob("*/children"))
        children = [int(child) for task in tasks for child in task.read_text().split()]
    except OSError:
        return [pid]
    return [pid, *(process for child in children for process in _list_tree(child))]


if __name__ == "__main__":
    main()
