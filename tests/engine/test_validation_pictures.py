from pathlib import Path

import numpy as np
import torch
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.events import EventStorage
from solo_d2.config import get_cfg
from solo_d2.data.datasets import register_panoptic_format
from solo_d2.engine.trainer import Trainer
from solo_d2.visualization.validation import ValidationPictures

PANOPTIC_CONFIG = Path(__file__).resolve().parents[2] / "configs" / "quick" / "panoptic_solov2_tiny.yaml"


def test_pictures_show_truth_beside_prediction(tiny_cfg):
    model = Trainer.build_model(tiny_cfg)
    model.train()
    with EventStorage() as storage:
        ValidationPictures(tiny_cfg, model, "tiny_val", 2).draw()
    names = [name for name, _, _ in storage._vis_data]
    assert names == ["validation/0", "validation/1"]
    picture = torch.as_tensor(storage._vis_data[0][1])
    assert picture.shape == (3, 32, 64) and picture.dtype == torch.uint8
    assert model.training


def test_more_pictures_than_images(tiny_cfg):
    model = Trainer.build_model(tiny_cfg)
    with EventStorage() as storage:
        ValidationPictures(tiny_cfg, model, "tiny_val", 10).draw()
    assert len(storage._vis_data) == 3


def test_panoptic_pictures(panoptic_set, tmp_path):
    name = "pictured_panoptic"
    register_panoptic_format(name, panoptic_set.json, panoptic_set.panoptic, panoptic_set.images)
    cfg = get_cfg()
    cfg.merge_from_file(str(PANOPTIC_CONFIG))
    cfg.MODEL.SOLOV2.NUM_CLASSES, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 2, 3
    try:
        with EventStorage() as storage:
            ValidationPictures(cfg, Trainer.build_model(cfg), name, 2).draw()
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    (_, first, _), (_, second, _) = storage._vis_data
    assert first.shape == (3, 40, 96) and second.shape == (3, 36, 64)
    with Image.open(f"{panoptic_set.images}/2.jpg") as picture:
        original = np.asarray(picture).transpose(2, 0, 1)
    assert np.abs(second[:, :, :32].astype(int) - original).mean() > 8, "the sea is drawn"
