"""Packaging entry point; the metadata is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# The models of the zoo are built from these: in a checkout they lie beside the package.
CONFIG_FOLDERS = ("dds_baselines", "vit")


class BuildWithConfigs(build_py):
    """Puts the zoo's configurations into the package, as pycls/configs."""

    def run(self) -> None:
        """Build the modules, then copy the configurations beside them."""
        super().run()
        # An editable installation is used from the checkout, where they are already.
        if getattr(self, "editable_mode", False):
            return
        for folder in CONFIG_FOLDERS:
            target = Path(self.build_lib) / "pycls" / "configs" / folder
            shutil.copytree(Path("configs") / folder, target, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithConfigs})
