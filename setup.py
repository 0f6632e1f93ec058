"""Packaging of solo_d2. Detectron2 is not a requirement here because PyPI does not have it: see README.md."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (ROOT / "solo_d2/__init__.py").read_text()).group(1)

setup(
    name="solo_d2",
    version=VERSION,
    description="SOLO, SOLOv2 and their family of direct instance segmentation for Detectron2",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["solo_d2", "solo_d2.*"]),
    python_requires=">=3.10",
    install_requires=[
        "torch>=2.4",
        "numpy>=1.26",
        "fvcore>=0.1.5.post20221221",
        "iopath>=0.1.9",
        "opencv-python-headless>=4.8",
        "pillow>=10.1",
        "pycocotools>=2.0.7",
        "shapely>=2.0",
        "tensorboard>=2.12",
        "tqdm>=4.60",
    ],
    extras_require={
        "fast-eval": ["faster-coco-eval>=1.6"],
        "dev": ["hypothesis>=6", "mypy>=1.8", "pytest>=8", "pytest-xdist>=3", "ruff>=0.6"],
    },
)
