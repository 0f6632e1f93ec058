"""Installs d2lite, which provides the import name ``detectron2`` if the real one is absent."""

import importlib.metadata
import os
import re
import site
import sys
import sysconfig
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def find_real_detectron2() -> str | None:
    """Returns the version or the place of the real Detectron2, or None if it is not installed.

    pip builds in an isolated environment. Its sys.path does not contain the environment that is
    installed into, but sysconfig and site, which belong to its interpreter, still name it.
    """
    found = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *sys.path}
    found.update(site.getsitepackages())
    if site.ENABLE_USER_SITE:
        found.add(site.getusersitepackages())
    folders = sorted(os.path.realpath(folder) for folder in found if folder)
    for distribution in importlib.metadata.distributions(name="detectron2", path=folders):
        return f"detectron2 {distribution.version}, {distribution.locate_file('')}"
    for folder in map(Path, folders):
        init = folder / "detectron2" / "__init__.py"
        if init.is_file() and "d2lite" not in init.read_text(encoding="utf-8"):
            return str(init.parent)
        if (folder / "detectron2.egg-link").is_file():
            return str(folder / "detectron2.egg-link")
    return None


def read_version() -> str:
    """Returns the version for package indexes, which refuse local parts: 0.6+d2lite.2 becomes 0.6.2."""
    text = (HERE / "detectron2" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'__version__ = "(.+)"', text)
    assert found, "detectron2/__init__.py has no __version__"
    return found.group(1).replace("+d2lite", "")


real = find_real_detectron2()
if real is not None:
    sys.exit(
        f"d2lite: the real Detectron2 is installed here ({real}) and has the same import name. "
        "Nothing more is needed: use it, or run `pip uninstall detectron2` before installing d2lite."
    )

setup(
    name="d2lite",
    version=read_version(),
    description="The part of Detectron2's public API that solo_d2 uses, in pure Python",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["detectron2", "detectron2.*"]),
    package_data={"detectron2": ["py.typed"]},
    python_requires=">=3.11",
    install_requires=[
        "fvcore>=0.1.5.post20221221",
        "iopath>=0.1.9",
        "numpy>=1.26",
        "opencv-python-headless>=4.8",
        "pillow>=10.1",
        "pycocotools>=2.0.7",
        "tabulate>=0.9",
        "termcolor>=2.4",
        "torch>=2.4",
        "yacs>=0.1.8",
    ],
    # Crops of polygon annotations, and TensorBoard's event files.
    extras_require={"all": ["shapely>=2.0", "tensorboard>=2.14"]},
)
