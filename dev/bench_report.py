#!/usr/bin/env python3
"""Time to write the report of a large study, its size, and how long a hover takes on it.

The published study, simulated: 500 architectures on 14 data sets with training curves and all
control experiments. The hover is measured in headless Chromium where that is installed: from the
event to pixels that can be read back, for every plot on the page, drawn by the processor.

Example: python dev/bench_report.py --archs 500
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "analysis"))  # the simulation and the browser of the tests

from browser import CHROMIUM, NO_CHROMIUM, Browser  # noqa: E402
from simulated_study import write_collection  # noqa: E402

WRITE = (
    "import sys; from pycls.analysis.report.report import write_report; write_report(sys.argv[1])"
)
FRAME_MS = 1000 / 60


def main() -> None:
    """Simulate, write the report in a process of its own, and hover."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archs", type=int, default=500)
    parser.add_argument("--folder", type=Path, help="a finished study's, for the simulation's")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = args.folder or write_collection(Path(name), args.archs)
        start, before = time.perf_counter(), children_s()
        subprocess.run([sys.executable, "-c", WRITE, str(folder)], cwd=ROOT, check=True)
        wall, cpu = time.perf_counter() - start, children_s() - before
        page = folder / "report" / "index.html"
        print(f"report   {wall:6.1f} s, {cpu:.1f} s of it on a processor")
        print(f"page     {page.stat().st_size / 1e6:6.1f} MB")
        if CHROMIUM is None:
            print(f"hover    not measured: {NO_CHROMIUM}")
            return
        browser = Browser(Path(name) / "profile")
        try:
            hover(browser, page)
        finally:
            browser.close()


def hover(browser: Browser, page: Path) -> None:
    """Print how long hovers take with the targets shown, and with all data sets shown."""
    browser.open(page)
    for group in ("targets", "all"):
        browser.run(f"document.getElementById('explore-group').value = '{group}'")
        browser.run("document.getElementById('explore-group').dispatchEvent(new Event('change'))")
        found = browser.run("window.pyclsBenchmark(200)")
        print(
            f"hover    {found['median']:6.1f} ms median, {found['p95']:.1f} ms 95th percentile, "
            f"{found['highest']:.1f} ms highest of 200; {found['panels']} plots, a frame has "
            f"{FRAME_MS:.1f} ms"
        )


def children_s() -> float:
    """Return the processor time of child processes so far, in seconds."""
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
