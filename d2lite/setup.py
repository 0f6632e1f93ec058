"""Installs d2lite, which provides the import name ``detectron2`` where the real one is absent."""

import importlib.metadata
import os
import re
import site
import sys
import sysconfig
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def find_real_detectron2():
    """Returns where the real Detectron2 is installed, or None.

    pip builds in an isolated environment: there, sys.path does not show the environment that is
    installed into, but sysconfig and site, which belong to its interpreter, still do.
    """
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *sys.path}
    folders.update(site.getsitepackages())
    if site.ENABLE_USER_SITE:
        folders.add(site.getusersitepackages())
    folders = sorted(os.path.realpath(folder) for folder in folders if folder)
    for distribution in importlib.metadata.distributions(name="detectron2", path=folders):
        return f"detectron2 {distribution.version}, {distribution.locate_file('')}"
    for folder in map(Path, folders):
        init = folder / "detectron2" / "__init__.py"
        if init.is_file() and "d2lite" not in init.read_text(encoding="utf-8"):
            return init.parent
        if (folder / "detectron2.egg-link").is_file():
            return folder / "detectron2.egg-link"
    return None


real = find_real_detectron2()
if real is not None:
    sys.exit(
        f"d2lite: the real Detectron2 is installed here ({real}) and has the same import name. "
        "Nothing more is needed: use it, or run `pip uninstall detectron2` before installing d2lite."
    )

version = re.search(
    r'__version__ = "(.+)"', (HERE / "detectron2" / "__init__.py").read_text(encoding="utf-8")
).group(1)

setup(
    name="d2lite",
    version=version,
    description="The part of Detectron2's public API that solo_d2 uses, in pure Python",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["detectron2", "detectron2.*"]),
    python_requires=">=3.11",
    install_requires=[
        "cloudpickle>=2.2",
        "fvcore>=0.1.5.post20221221",
        "iopath>=0.1.9",
        "numpy>=1.26",
        "opencv-python-headless>=4.8",
        "pillow>=10.1",
        "pycocotools>=2.0.7",
        "shapely>=2.0",
        "tabulate>=0.9",
        "tensorboard>=2.14",
        "termcolor>=2.4",
        "torch>=2.4",
        "yacs>=0.1.8",
    ],
)
