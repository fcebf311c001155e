"""Put the files that a project is made from into the wheel; all else about the package is in pyproject.toml."""

import runpy
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildWithTemplate(build_py):
    """A clone and an editable install read these files where they are."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        template = runpy.run_path(str(ROOT / "tinyllm/provenance/installed.py"))
        target = Path(self.build_lib) / "tinyllm" / template["INSIDE"]
        shutil.rmtree(target, ignore_errors=True)  # an older build's
        for name in template["template_files"](ROOT):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)


setup(cmdclass={"build_py": BuildWithTemplate})
