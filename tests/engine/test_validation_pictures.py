import torch

from detectron2.utils.events import EventStorage
from solo_d2.engine.trainer import Trainer
from solo_d2.engine.validation_pictures import ValidationPictures


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
