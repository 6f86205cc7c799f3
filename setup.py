"""Packaging entry point; the metadata is in pyproject.toml."""

import runpy
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# In a checkout these lie beside the package. The models of the zoo are built from `configs`.
FOLDERS = ("configs", "sweeps")
TOOLS = runpy.run_path("pycls/command_names.py")["TOOLS"]


class BuildWithFiles(build_py):
    """Puts configurations and study files into the package, as pycls/configs and pycls/sweeps."""

    def run(self) -> None:
        """Build the modules, then copy the other files beside them."""
        super().run()
        # An editable installation is used from the checkout, where they are already.
        if getattr(self, "editable_mode", False):
            return
        for folder in FOLDERS:
            target = Path(self.build_lib) / "pycls" / folder
            ignore = shutil.ignore_patterns(".*", "__pycache__")
            shutil.copytree(folder, target, dirs_exist_ok=True, ignore=ignore)


setup(
    cmdclass={"build_py": BuildWithFiles},
    entry_points={
        "console_scripts": [f"{command} = pycls_studies:main" for command in TOOLS.values()]
    },
)
