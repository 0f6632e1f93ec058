"""The semantic branch and the merge around an instance segmenter."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from solo_d2.config import get_cfg
from solo_d2.methods.panoptic.model import PanopticSegmenter, SemanticSettings
from solo_d2.methods.panoptic.postprocess import PanopticMerge
from solo_d2.modeling.meta_architecture import DenseSegmenter
from solo_d2.utils.errors import InputError

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
TINY = CONFIGS / "quick" / "panoptic_solov2_tiny.yaml"


class Identity(nn.Module):
    size_divisibility = 32
    padding_constraints: dict = {}

    def forward(self, x):
        return {"p2": x[:, :, ::4, ::4]}


class Halves(DenseSegmenter):
    """Finds the upper half of every image; stands for any instance segmenter."""

    read_features = frozenset()

    def losses(self, features, batched_inputs):
        return {"loss_a": torch.tensor(2.0), "loss_b": torch.tensor(3.0)}

    def inference(self, features, image_sizes, output_sizes):
        results = []
        for height, width in output_sizes:
            found = Instances((height, width))
            found.pred_masks = torch.zeros(1, height, width, dtype=torch.bool)
            found.pred_masks[:, : height // 2] = True
            found.pred_boxes = Boxes(torch.tensor([[0.0, 0.0, width, height // 2]]))
            found.scores = torch.tensor([0.9])
            found.pred_classes = torch.tensor([3])
            results.append(found)
        return results


class PanopticHalves(PanopticSegmenter, Halves):
    pass


class LogitsOfChannels(nn.Module):
    """Class logits are the image's channels."""

    def forward(self, features):
        return features[0]


def make_model(**changes):
    arguments = dict(
        backbone=Identity(),
        pixel_mean=[0.0] * 3,
        pixel_std=[1.0] * 3,
        sem_seg_head=LogitsOfChannels(),
        sem_seg=SemanticSettings(in_features=["p2"], common_stride=4, loss_weight=0.5, ignore_value=255),
        instance_loss_weight=1.0,
        panoptic_merge=PanopticMerge(0.5, 10, 0.5),
    )
    return PanopticHalves(**{**arguments, **changes})


def make_image(label, size=(32, 64)):
    image = torch.zeros(3, *size)
    image[label] = 5.0
    return image


def test_any_segmenter_becomes_panoptic():
    inputs = [
        {"image": make_image(2), "height": 64, "width": 128},
        {"image": make_image(0, (30, 50)), "height": 15, "width": 25},
    ]
    results = make_model().eval()(inputs)
    assert [set(r) for r in results] == [{"instances", "sem_seg", "panoptic_seg"}] * 2
    assert results[0]["sem_seg"].shape == (3, 64, 128)
    ids, segments = results[0]["panoptic_seg"]
    assert (ids[:32] == 1).all() and (ids[32:] == 2).all() and ids.dtype == torch.int32
    assert [s["isthing"] for s in segments] == [True, False]
    assert [s["category_id"] for s in segments] == [3, 2] and segments[1]["area"] == 32 * 128
    ids, segments = results[1]["panoptic_seg"]  # class 0, "things", is no stuff
    assert ids.shape == (15, 25) and len(segments) == 1 and not ids[7:].any()


def test_merge_can_be_switched_off():
    result = make_model(panoptic_merge=None).eval()([{"image": make_image(1)}])[0]
    assert set(result) == {"instances", "sem_seg"}


def make_training_inputs(labels, sizes):
    return [
        {
            "image": make_image(1, size),
            "instances": Instances(size),
            "sem_seg": torch.full(size, label, dtype=torch.int64),
        }
        for label, size in zip(labels, sizes, strict=True)
    ]


def test_losses_and_their_weights():
    model = make_model(instance_loss_weight=3.0).train()
    model.sem_seg = replace(model.sem_seg, loss_weight=2.0)
    losses = model(make_training_inputs([1, 1], [(32, 64), (32, 64)]))
    assert losses["loss_a"] == 6 and losses["loss_b"] == 9
    # Every pixel has logits 0, 5, 0 and label 1.
    right = torch.tensor([0.0, 5.0, 0.0]).log_softmax(0)[1]
    torch.testing.assert_close(losses["loss_sem_seg"], -2 * right)


def test_padding_and_void_do_not_count():
    model = make_model().train()
    alone = model(make_training_inputs([0], [(32, 64)]))["loss_sem_seg"]
    padded = model(make_training_inputs([255, 0], [(64, 64), (32, 64)]))["loss_sem_seg"]
    assert alone > 0
    # The rows next to the padding are blended with it by the upsampling.
    torch.testing.assert_close(alone, padded, rtol=0.1, atol=0)
    nothing = model(make_training_inputs([255], [(32, 64)]))["loss_sem_seg"]
    assert nothing == 0


def test_inputs_without_semantic_maps_are_explained():
    inputs = make_training_inputs([1], [(32, 64)])
    del inputs[0]["sem_seg"]
    with pytest.raises(InputError, match='PanopticHalves needs "sem_seg"'):
        make_model().train()(inputs)


@pytest.mark.parametrize("name", ["FusionSemanticHead", "ConcatSemanticHead", "SemSegFPNHead"])
def test_heads_by_config(name):
    cfg = get_cfg()
    cfg.merge_from_file(str(TINY))
    cfg.MODEL.SEM_SEG_HEAD.NAME = name
    cfg.MODEL.PANOPTIC_FPN.COMBINE.OVERLAP_THRESH = 0.4
    model = build_model(cfg).eval()
    assert model.panoptic_merge == PanopticMerge(0.4, 64, 0.4)
    assert model.sem_seg.loss_weight == 0.5
    with torch.no_grad():
        result = model([{"image": torch.zeros(3, 50, 70), "height": 33, "width": 44}])[0]
    assert result["sem_seg"].shape == (5, 33, 44)
    assert result["panoptic_seg"][0].shape == (33, 44)


def test_config_switches():
    cfg = get_cfg()
    cfg.merge_from_file(str(TINY))
    cfg.MODEL.PANOPTIC_FPN.COMBINE.ENABLED = False
    assert build_model(cfg).panoptic_merge is None
    cfg.MODEL.SEM_SEG_HEAD.NAME = "DeepLab"
    with pytest.raises(InputError, match="not 'DeepLab'"):
        build_model(cfg)


@pytest.mark.parametrize("method", ["SOLOv2", "CondInst"])
def test_instance_part_is_the_segmenters(method):
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIGS / "quick" / f"panoptic_{method.lower()}_tiny.yaml"))
    # An untrained model finds something, too.
    cfg.MODEL.SOLOV2.SCORE_THR = cfg.MODEL.SOLOV2.UPDATE_THR = 0.0
    cfg.MODEL.FCOS.INFERENCE_TH_TEST = 0.0
    panoptic = build_model(cfg).eval()
    cfg.MODEL.META_ARCHITECTURE = method
    plain = build_model(cfg).eval()
    weights = panoptic.state_dict()
    assert {k for k in weights if not k.startswith("sem_seg_head.")} == set(plain.state_dict())
    plain.load_state_dict({k: weights[k] for k in plain.state_dict()})
    inputs = [{"image": torch.rand(3, 64, 96) * 255}]
    with torch.no_grad():
        ours, expected = panoptic(inputs)[0]["instances"], plain(inputs)[0]["instances"]
    assert len(expected) > 0
    assert torch.equal(ours.pred_masks, expected.pred_masks) and torch.equal(ours.scores, expected.scores)


def test_condinst_merges_with_its_papers_thresholds():
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIGS / "PanopticCondInst" / "panoptic_condinst_R50_1x.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg)
    assert model.panoptic_merge == PanopticMerge(0.4, 4096, 0.45)
    assert model.sem_seg_head.predictor.in_channels == 4 * 256
