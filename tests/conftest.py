"""Shared fixtures: recorded behaviour of the public implementations, where it is at hand."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from detectron2.structures import BitMasks, Boxes, Instances

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(autouse=True)
def no_traceback_wish():
    """``--traceback`` in one test sets an environment variable; the next one starts without it."""
    yield
    os.environ.pop("SOLO_D2_TRACEBACK", None)


class Golden:
    """Reads one folder of recordings."""

    def __init__(self, folder: Path):
        self.folder = folder

    def load(self, name: str) -> dict:
        """Reads a recording: arrays as tensors, packed masks unpacked to bool (n, h, w)."""
        with np.load(self.folder / f"{name}.npz", allow_pickle=False) as data:
            arrays = dict(data)
        result = {}
        for key, value in arrays.items():
            if key.endswith("/packed"):
                base = key.removesuffix("/packed")
                n, h, w = arrays[f"{base}/shape"]
                bits = np.unpackbits(value, axis=1)[:, : h * w]
                result[base] = torch.from_numpy(bits.reshape(n, h, w).astype(bool))
            elif not key.endswith("/shape") and value.dtype.kind not in "US":
                result[key] = torch.from_numpy(value)
        return result

    def ground_truth(self, case: str) -> list[Instances]:
        """Reads the instances of both images, masks at the images' own sizes."""
        data = self.load(f"gt_{case}")
        images = []
        for i in range(2):
            instances = Instances(tuple(data[f"img{i}/img_shape"].tolist()))
            instances.gt_boxes = Boxes(data[f"img{i}/boxes"])
            instances.gt_classes = data[f"img{i}/labels"]
            instances.gt_masks = BitMasks(data[f"img{i}/masks"])
            images.append(instances)
        return images


@pytest.fixture(scope="session")
def golden():
    """Returns ``golden(folder)``; skips the test where the recordings are not at hand."""

    def get(folder: str) -> Golden:
        path = SHARED / "golden" / folder
        if not path.is_dir():
            pytest.skip(f"recorded behaviour '{folder}' is not beside the repository")
        return Golden(path)

    return get
