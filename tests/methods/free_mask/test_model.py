"""Free Mask as a Detectron2 model."""

from pathlib import Path

import pytest
import torch

import solo_d2  # noqa: F401  (registers the models)
from detectron2.modeling import build_model
from detectron2.structures import Instances
from solo_d2.config import get_cfg
from solo_d2.methods.free_mask.postprocess import FreeMaskPostprocessor
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import build

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "quick" / "free_mask_tiny.yaml"


def make_cfg(feature="res3"):
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIG))
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res3"]
    cfg.MODEL.FREE_MASK.IN_FEATURE = feature
    cfg.MODEL.FREE_MASK.MASKNESS_THR = 0.3
    return cfg


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(make_cfg()).eval()


def make_input(rows, columns, seed=0, **more):
    generator = torch.Generator().manual_seed(seed)
    return {"image": torch.randint(0, 256, (3, rows, columns), generator=generator).float(), **more}


@torch.no_grad()
def test_is_the_inference_on_the_backbone(model):
    one = make_input(64, 96, height=32, width=48)
    found = model([one])[0]["instances"]
    feature = model.backbone(model.preprocess([one]).tensor)["res3"][0]
    options = build(FreeMaskPostprocessor, make_cfg(), "MODEL.FREE_MASK", min_center_y=-1.0)
    expected = options(feature, 8, (64, 96), (32, 48))
    assert len(found) == len(expected) > 0 and found.image_size == (32, 48)
    assert torch.equal(found.pred_masks, expected.pred_masks)
    assert torch.equal(found.pred_embeddings, expected.pred_embeddings)


@torch.no_grad()
def test_padding_does_not_become_an_object(model):
    """In a batch of different sizes the smaller image's cells are its own."""
    small, large = make_input(60, 75, seed=1), make_input(96, 96, seed=2)
    sizes = []
    step = model.postprocess

    class Recorder:
        def __call__(self, feature, *arguments):
            sizes.append(tuple(feature.shape[1:]))
            return step(feature, *arguments)

    model.postprocess = Recorder()
    results = model([small, large])
    model.postprocess = step
    assert sizes == [(8, 10), (12, 12)]
    assert [result["instances"].image_size for result in results] == [(60, 75), (96, 96)]


def test_has_nothing_to_train_and_says_so(model):
    model.train()
    image = make_input(32, 32)
    with pytest.raises(InputError, match="nothing to train"):
        model([image | {"instances": Instances((32, 32))}])
    model.eval()


def test_unknown_feature_is_one_line():
    with pytest.raises(InputError, match="res5 is no output of the backbone, which has res3: add it to"):
        build_model(make_cfg("res5"))


def test_settings_are_named_by_their_keys():
    cfg = make_cfg()
    cfg.MODEL.FREE_MASK.QUERY_SCALES = [1.0, 0.0]
    with pytest.raises(InputError, match="^MODEL.FREE_MASK.QUERY_SCALES must be sizes above 0"):
        build_model(cfg)
