"""Recorded names and shapes of published files, with weights made up."""

import ast

import pytest
import torch

from detectron2.modeling import build_model
from solo_d2 import model_zoo

# Recording -> the published model of the same layout and architecture.
RECORDED = {
    "original_solo_r50_fpn_1x_coco": "original/solo_R50_1x",
    "original_decoupled-solo_r50_fpn_1x_coco": "original/decoupled_solo_R50_1x",
    "original_decoupled-solo-light_r50_fpn_3x_coco": "original/decoupled_solo_light_R50_3x",
    "original_solov2_r50_fpn_1x_coco": "original/solov2_R50_1x",
    "original_solov2_r101_fpn_ms-3x_coco": "original/solov2_R101_3x",
    "original_solov2-light_r18_fpn_ms-3x_coco": "original/solov2_light_448_R18_3x",
    "original_solov2-light_r50_fpn_ms-3x_coco": "original/solov2_light_448_R50_3x",
    "mmdet3_solo_r50_fpn_1x_coco": "mmdet/solo_R50_1x",
    "mmdet3_decoupled-solo_r50_fpn_1x_coco": "mmdet/decoupled_solo_R50_1x",
    "mmdet3_decoupled-solo-light_r50_fpn_3x_coco": "mmdet/decoupled_solo_light_R50_3x",
    "mmdet3_solov2_r50_fpn_1x_coco": "mmdet/solov2_R50_1x",
    "mmdet3_solov2_r101_fpn_ms-3x_coco": "mmdet/solov2_R101_3x",
    "mmdet3_solov2-light_r18_fpn_ms-3x_coco": "mmdet/solov2_light_448_R18_3x",
    "mmdet3_solov2-light_r50_fpn_ms-3x_coco": "mmdet/solov2_light_448_R50_3x",
    "adelaidet_solov2_r50": "adelaidet/solov2_R50_3x",
    "adelaidet_condinst_r50": "adelaidet/condinst_R50_3x",
    "mmdet3_condinst_r50_fpn_ms-poly-90k_coco_instance": "mmdet/condinst_R50_1x",
}


@pytest.fixture
def recorded_weights(golden):
    """Returns ``weights(recording, device)``: tensors with the recorded names, shapes and dtypes."""

    def weights(recording: str, device: str = "meta") -> dict[str, torch.Tensor]:
        text = (golden("keys").folder / f"{recording}.txt").read_text()
        result = {}
        for line in text.splitlines():
            name, shape, dtype = line.split("\t")
            dtype = getattr(torch, dtype.removeprefix("torch."))
            result[name] = torch.zeros(ast.literal_eval(shape), dtype=dtype, device=device)
        return result

    return weights


@pytest.fixture
def build_shapes():
    """Returns ``build(published model)``: its config and a model that has shapes only."""

    def build(name: str):
        cfg = model_zoo.get_config(name)
        cfg.MODEL.DEVICE = "meta"
        with torch.device("meta"):
            return cfg, build_model(cfg)

    return build
