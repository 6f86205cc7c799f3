"""Runs the sections one after another, each in a process and within a time of its own."""

import argparse
import contextlib
import importlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from gpu_check.results import Results, gather
from gpu_check.table import write_table

_PROGRAM = Path(__file__).resolve().parent
_HALF_S = 235.0  # of each half, all its sections together
_END_S = 6.0  # what a section may take over its time before it is killed
_NEEDED = ("torch", "numpy", "yacs", "simplejson")

# Section -> (module, seconds), in order of importance.
HALVES: dict[int, dict[str, tuple[str, float]]] = {
    1: {
        "machine": ("machine", 25),
        "speed_large": ("speed", 75),
        "gpu_tests": ("right", 45),
        "several": ("speed", 40),
        "agreement": ("right", 20),
        "waits": ("right", 20),
    },
    2: {
        "own_layers": ("speed", 45),
        "resuming": ("right", 45),
        "speed_small": ("speed", 40),
        "peers": ("right", 25),
        "together": ("right", 20),
        "profile": ("kernels", 20),
        "loading": ("loading", 20),
        "formats": ("speed", 25),
    },
}
_MODULES = {name: module for half in HALVES.values() for name, (module, _) in half.items()}


def main(arguments: list[str]) -> int:
    """Check the machine, or be the process of one section; return the exit code."""
    args = _parse(arguments)
    if args.section:
        run_section(args.section, args.device, args.tiny, args.folder, args.until)
        return 0
    with TemporaryDirectory(prefix="gpu-check-") as folder:
        if args.wheels is not None and not _install(args.wheels, Path(folder) / "site"):
            return 1
        if args.wheels is None and (missing := _missing()):
            print(
                f"{sys.executable} has no {', '.join(missing)}; name a folder with their wheels: "
                "make gpu-check WHEELS=FOLDER",
                file=sys.stderr,
            )
            return 1
        for half in (args.half,) if args.half else (1, 2):
            _check_half(half, args, Path(folder))
    print(args.out.with_suffix(".md").read_text())
    print(f"results in {args.out}, a table in {args.out.with_suffix('.md')}")
    return 0


def run_section(name: str, device: str, tiny: bool, folder: Path, until: float) -> None:
    """Do one section here; its results are in the folder."""
    results = Results(folder, name, until)
    with results.guarded(name):
        from gpu_check.scale import Scale

        section = getattr(importlib.import_module(f"gpu_check.{_MODULES[name]}"), name)
        section(Scale.of(device, tiny), results)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gpu_check", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--half", type=int, choices=HALVES, help="one of two, of 4 minutes each")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the check itself")
    parser.add_argument("--tiny", action="store_true", help="smallest sizes, which measure nothing")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels that this Python lacks")
    parser.add_argument("--out", type=Path, default=Path("gpu-check.json"), help="(%(default)s)")
    parser.add_argument("--in-process", action="store_true", help="sections have no processes")
    parser.add_argument("--section", choices=_MODULES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _missing() -> list[str]:
    return [name for name in _NEEDED if importlib.util.find_spec(name) is None]


def _install(wheels: Path, site: Path) -> bool:
    """Unpack wheels where the sections find them first; nothing else of this Python changes."""
    files = sorted(map(str, wheels.glob("*.whl")))
    if not files:
        print(f"{wheels} holds no wheels (*.whl)", file=sys.stderr)
        return False
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    done = subprocess.run([*command, "--target", str(site), *files], check=False)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(site), os.environ.get("PYTHONPATH", "")])
    )
    return done.returncode == 0


def _check_half(half: int, args: argparse.Namespace, folder: Path) -> None:
    end = time.monotonic() + _HALF_S
    ended: dict[str, str] = {}
    names = list(HALVES[half])
    for name, (_, seconds) in HALVES[half].items():
        until = min(time.monotonic() + seconds, end - _END_S)
        print(f"{name}, for {max(0.0, until - time.monotonic()):.0f} s", flush=True)
        if until <= time.monotonic():
            ended[name] = "not begun: no time was left"
        elif args.in_process:
            run_section(name, args.device, args.tiny, folder, until)
        elif problem := _start(name, args, folder, until):
            ended[name] = problem
        found = gather(folder, args.out, names, ended)
        write_table(found, args.out.with_suffix(".md"))


def _start(name: str, args: argparse.Namespace, folder: Path, until: float) -> str | None:
    """Do a section in a process of its own; return how it ended, where not well."""
    command = [
        sys.executable, str(_PROGRAM), "--section", name, "--device", args.device, "--folder",
        str(folder), "--until", str(until), *(["--tiny"] if args.tiny else []),
    ]  # fmt: skip
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait(max(1.0, until - time.monotonic()) + _END_S)
    except subprocess.TimeoutExpired:
        return "killed: it took longer than its time"
    finally:
        # With the processes of its own, which would be in the way of the next section.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return f"exit code {code}" if code else None
