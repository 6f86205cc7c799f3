"""Executes the notebooks in sweeps/notebooks, on simulated studies or on real ones."""

import os
import shutil
import tempfile
from pathlib import Path

from synthetic_appendix import write_appendix
from synthetic_spaces import write_spaces
from synthetic_study import Plan, write_study

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "sweeps" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def lay_out(root, real=None):
    """Lay a folder out like the repository after the studies were run.

    Args:
        root: the folder.
        real: a folder of studies; those of the notebooks that are there are taken.
    """
    shutil.copytree(FOLDER, root / "sweeps" / "notebooks")
    for name in ("configs", "tools"):
        (root / name).symlink_to(ROOT / name)
    studies = root / "studies"
    studies.mkdir()
    for folder in Path(real).glob("embedded*") if real else ():
        (studies / folder.name).mkdir()
        for path in [*folder.glob("*.csv"), *folder.glob("*.json")]:
            shutil.copy(path, studies / folder.name)
    if not (studies / "embedded").exists():
        write_study(studies / "embedded", Plan(archs=16, topk=True))
        write_appendix(studies / "embedded_appendix", studies / "embedded")
    if not (studies / "embedded_spaces").exists():
        write_spaces(studies / "embedded_spaces")


def execute(path, private):
    """Return a notebook of a folder that :func:`lay_out` made, executed.

    Args:
        path: the notebook.
        private: folder for what the kernel writes of its own.
    """
    import nbclient
    import nbformat
    import traitlets.config

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:  # short: a socket's path has 100 letters at most
        # Files, not ports: another process may take one that was free.
        sockets = {"transport": "ipc", "connection_file": f"{folder}/kernel.json"}
        client = nbclient.NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            resources={"metadata": {"path": path.parent}},
            config=traitlets.config.Config(KernelManager=sockets),
        )
        own = {"IPYTHONDIR": private / "ipython", "TMPDIR": private, "OMP_NUM_THREADS": 1}
        client.execute(env={**os.environ, **{key: str(value) for key, value in own.items()}})
    return notebook
