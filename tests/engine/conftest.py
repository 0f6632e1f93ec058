"""A few-pixel dataset and a model that needs milliseconds, for tests of the training machinery."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Boxes, Instances
from solo_d2.config import get_cfg
from solo_d2.data.datasets import register_coco_format
from tests.engine.disturbances import SCRIPT, Runs, environment

SIDE = 32
CLASSES = ["bright", "unused"]


@META_ARCH_REGISTRY.register()
class BrightnessSegmenter(torch.nn.Module):
    """Segments pixels brighter than gray; its one convolution learns the mean brightness.

    ``poison`` as a file name in the batch makes the loss NaN.
    """

    def __init__(self, cfg):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 1, 1)
        self.norm = torch.nn.BatchNorm2d(1)
        self.to(cfg.MODEL.DEVICE)

    def forward(self, batch):
        images = torch.stack([item["image"].float() / 255 for item in batch])
        features = self.norm(self.conv(images))
        if self.training:
            loss = ((features - images.mean(1, keepdim=True)) ** 2).mean()
            if any("poison" in item["file_name"] for item in batch):
                loss = loss * float("nan")
            return {"loss_brightness": loss, "loss_size": self.conv.weight.square().mean()}
        return [{"instances": self.segment(item)} for item in batch]

    @staticmethod
    def segment(item):
        mask = item["image"].float().mean(0) > 128
        ys, xs = torch.nonzero(mask, as_tuple=True)
        result = Instances((item["height"], item["width"]))
        result.pred_masks = mask[None]
        corners = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        result.pred_boxes = Boxes(torch.stack(corners)[None].float())
        result.scores = torch.tensor([0.9])
        result.pred_classes = torch.tensor([0])
        return result


def write_split(root: Path, name: str, count: int) -> SimpleNamespace:
    """Writes gray images with one bright rectangle each, and their COCO file."""
    images = root / name
    images.mkdir(parents=True)
    content = {
        "images": [],
        "annotations": [],
        "categories": [{"id": i + 1, "name": text} for i, text in enumerate(CLASSES)],
    }
    for number in range(count):
        x, y, w, h = 2 + number, 3, 12, 10 + number
        pixels = np.full((SIDE, SIDE, 3), 40, np.uint8)
        pixels[y : y + h, x : x + w] = 220
        Image.fromarray(pixels).save(images / f"{number}.png")
        content["images"].append({"id": number, "file_name": f"{number}.png", "height": SIDE, "width": SIDE})
        content["annotations"].append(
            {
                "id": number + 1,
                "image_id": number,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [x, y, w, h],
                "area": w * h,
                "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
            }
        )
    path = root / f"{name}.json"
    path.write_text(json.dumps(content))
    return SimpleNamespace(json=str(path), images=str(images))


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory):
    """COCO files: ``.train`` and ``.val``, each with ``.json`` and ``.images``."""
    root = tmp_path_factory.mktemp("tiny")
    return SimpleNamespace(train=write_split(root, "train", 6), val=write_split(root, "val", 3))


def register_tiny_sets(paths: list[str]) -> None:
    """Registers tiny_train and tiny_val, given the JSON file and the folder of each."""
    register_coco_format("tiny_train", *paths[:2])
    register_coco_format("tiny_val", *paths[2:])


def tiny_config(**settings):
    """Returns a config that trains ``BrightnessSegmenter`` on the tiny dataset for 6 iterations.

    Args:
        settings: Keys with "__" for ".", and their values.
    """
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE = "BrightnessSegmenter"
    cfg.MODEL.DEVICE = "cpu"
    cfg.DATASETS.TRAIN = ("tiny_train",)
    cfg.DATASETS.TEST = ("tiny_val",)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.INPUT.MASK_FORMAT = "bitmask"
    cfg.INPUT.MIN_SIZE_TRAIN = (SIDE,)
    cfg.INPUT.MIN_SIZE_TEST = SIDE
    cfg.SOLVER.IMS_PER_BATCH = 2
    cfg.SOLVER.MAX_ITER = 6
    cfg.SOLVER.STEPS = ()
    cfg.SOLVER.BASE_LR = 0.05
    cfg.SOLVER.WARMUP_ITERS = 0
    cfg.SEED = 7
    cfg.TEST.VIS_IMAGES = 0
    for key, value in settings.items():
        cfg.merge_from_list([key.replace("__", "."), value])
    return cfg


@pytest.fixture
def tiny_cfg(tiny_files, tmp_path):
    """``tiny_config`` with its data sets and an output folder."""
    register_tiny_sets(
        [tiny_files.train.json, tiny_files.train.images, tiny_files.val.json, tiny_files.val.images]
    )
    cfg = tiny_config()
    cfg.OUTPUT_DIR = str(tmp_path / "out")
    yield cfg
    for name in ("tiny_train", "tiny_val"):
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.fixture(scope="session")
def disturbed_server():
    """Function from a job to its answer, see disturbed_run.py."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(SCRIPT)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ask(job):
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield ask
    process.stdin.close()
    process.wait()


@pytest.fixture(scope="session")
def disturbed(disturbed_server, tiny_files, tmp_path_factory):
    """Trainings that something goes wrong in."""
    return Runs(disturbed_server, tiny_files, tmp_path_factory.mktemp("whole"))
