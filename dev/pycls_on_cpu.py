"""Runs tools/run_net.py of a checkout of facebookresearch/pycls where there is no GPU.

Nothing of pycls is changed: what moves data to a GPU does nothing, what asks a GPU gets the
answer of an idle one, and packages that it imports without need (fairscale, iopath, torchvision)
are stood in for, which spares it their import. For the comparison in bench_training.py.

    python dev/pycls_on_cpu.py FOLDER THREADS --mode train --cfg FILE [KEY VALUE ...]
"""

import os
import runpy
import sys
import types
from pathlib import Path
from typing import Any


def main() -> None:
    """Stand in for what is missing, and run the tool."""
    folder, threads = Path(sys.argv[1]).resolve(), int(sys.argv[2])
    # It was written when torch.load read everything.
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    import torch

    torch.set_num_threads(threads)
    torch.Tensor.cuda = lambda self, *args, **options: self  # type: ignore[method-assign]
    torch.nn.Module.cuda = lambda self, *args, **options: self  # type: ignore[method-assign]
    torch.cuda.current_device = lambda: 0
    torch.cuda.max_memory_allocated = lambda *args: 0
    torch.cuda.synchronize = lambda *args: None
    for name in (
        "fairscale", "fairscale.nn", "fairscale.nn.data_parallel", "fairscale.optim",
        "fairscale.optim.grad_scaler", "iopath", "iopath.common", "iopath.common.file_io",
        "torchvision", "torchvision.datasets", "torchvision.transforms",
    ):  # fmt: skip
        sys.modules[name] = _Anything(name)
    sys.modules["iopath.common.file_io"].PathManagerFactory = _Files  # type: ignore[attr-defined]
    sys.path.insert(0, str(folder))
    sys.argv = [str(folder / "tools" / "run_net.py"), *sys.argv[3:]]
    runpy.run_path(sys.argv[0], run_name="__main__")


class _Anything(types.ModuleType):
    """A module that has every name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _Files:
    """The calls that pycls makes of iopath's path manager, on local files."""

    @staticmethod
    def get() -> "type[_Files]":
        return _Files

    exists = staticmethod(os.path.exists)
    isfile = staticmethod(os.path.isfile)
    ls = staticmethod(os.listdir)
    open = staticmethod(open)

    @staticmethod
    def mkdirs(path: str) -> None:
        Path(path).mkdir(parents=True, exist_ok=True)

    @staticmethod
    def copy(source: str, target: str, overwrite: bool = False) -> None:
        Path(target).write_bytes(Path(source).read_bytes())


if __name__ == "__main__":
    main()
