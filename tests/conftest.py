"""Shared fixtures: recorded behavior of the public implementations, if available."""

import ast
import json
import logging
import os
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.logger import setup_logger
from solo_d2 import model_zoo

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(autouse=True)
def seeded():
    """Gives every test the same random numbers, so that none depends on chance."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def no_traceback_wish():
    """``--traceback`` in one test sets an environment variable; the next one starts without it."""
    yield
    os.environ.pop("SOLO_D2_TRACEBACK", None)


@pytest.fixture(autouse=True)
def fresh_loggers():
    """Starts every test with loggers as Python makes them, whatever runs before it set up."""
    setup_logger.cache_clear()
    for logger in (logging.getLogger(name) for name in ("solo_d2", "detectron2", "fvcore")):
        logger.propagate, logger.handlers = True, []
        logger.setLevel(logging.NOTSET)


@pytest.fixture
def picture():
    """Left half red, right quarter blue: RGB uint8 (20, 40, 3)."""
    array = np.zeros((20, 40, 3), np.uint8)
    array[:, :20] = (255, 0, 0)
    array[:, 30:] = (0, 0, 255)
    return array


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
            pytest.skip(f"recorded behavior '{folder}' is not next to the repository")
        return Golden(path)

    return get


@pytest.fixture
def panoptic_set(tmp_path):
    """A panoptic annotation set of two pictures, 40 x 48 and 36 x 32: ``.json``, ``.panoptic``, ``.images``.

    The first has two cats, a crowd of dogs, sky, and a void corner; the second is all sea. ``.ids`` are their
    segment ids; ``.write(content)`` replaces the JSON.
    """
    from solo_d2.utils.atomic_file import write_bytes
    from solo_d2.utils.panoptic_png import encode_ids

    categories = [
        {"id": 3, "name": "cat", "isthing": 1, "color": [200, 0, 0]},
        {"id": 5, "name": "dog", "isthing": 1, "color": [0, 200, 0]},
        {"id": 9, "name": "sky", "isthing": 0, "color": [0, 0, 200]},
        {"id": 11, "name": "sea", "isthing": 0, "color": [0, 90, 90]},
    ]
    first, second = np.full((40, 48), 70000), np.full((36, 32), 1)
    first[5:15, 4:20], first[20:30, 4:20], first[20:38, 30:46], first[:6, 40:] = 301, 302, 400, 0
    kinds = [{70000: 9, 301: 3, 302: 3, 400: 5}, {1: 11}]
    content = {"images": [], "annotations": [], "categories": categories}
    for number, (ids, kind) in enumerate(zip((first, second), kinds, strict=True), start=1):
        height, width = ids.shape
        write_bytes(tmp_path / "png" / f"{number}.png", encode_ids(ids))
        (tmp_path / "images").mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.jpg")
        image = {"id": number, "file_name": f"{number}.jpg", "height": height, "width": width}
        content["images"].append(image)
        segments = []
        for segment, category in kind.items():
            rows, columns = np.nonzero(ids == segment)
            left, top = int(columns.min()), int(rows.min())
            box = [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top]
            record = {"id": segment, "category_id": category, "area": len(rows), "bbox": box}
            segments.append({**record, "iscrowd": int(segment == 400)})
        content["annotations"].append(
            {"image_id": number, "file_name": f"{number}.png", "segments_info": segments}
        )
    path = tmp_path / "panoptic.json"

    def write(changed: dict) -> None:
        path.write_text(json.dumps(changed))

    write(content)
    return SimpleNamespace(
        json=str(path),
        panoptic=str(tmp_path / "png"),
        images=str(tmp_path / "images"),
        content=content,
        ids=[first, second],
        write=write,
    )


@pytest.fixture
def recorded_weights(golden):
    """Returns ``weights(recording, device)``: random tensors with a published file's names and shapes."""

    def weights(recording: str, device: str = "meta") -> dict[str, torch.Tensor]:
        text = (golden("keys").folder / f"{recording}.txt").read_text()
        generator = torch.Generator(device).manual_seed(0) if device != "meta" else None
        result = {}
        for line in text.splitlines():
            name, shape, dtype = line.split("\t")
            values = torch.rand(ast.literal_eval(shape), generator=generator, device=device)
            result[name] = values.to(getattr(torch, dtype.removeprefix("torch.")))
        return result

    return weights


@pytest.fixture
def build_shapes():
    """Returns ``build(published model, *overrides)``: its config and a model that has shapes only."""

    def build(name: str, *overrides):
        cfg = model_zoo.get_config(name)
        cfg.merge_from_list(["MODEL.DEVICE", "meta", *overrides])
        with torch.device("meta"):
            return cfg, build_model(cfg)

    return build
