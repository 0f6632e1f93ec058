"""Number formats, folded norms and compilation: the same results as the plain model's."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from detectron2.layers import Conv2d, FrozenBatchNorm2d
from detectron2.modeling import build_model
from solo_d2.config.loading import load_config
from solo_d2.methods.condinst.postprocess import PointPostprocessor
from solo_d2.methods.grid.postprocess import GridPostprocessor
from solo_d2.modeling.inference import fold_norms, prepare_for_inference
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import build

# Untrained models find nothing above the usual thresholds.
LOW_THRESHOLDS: dict[type, dict] = {
    GridPostprocessor: {"score_thr": 0.0, "mask_thr": 1e-5, "update_thr": 0.0, "max_per_img": 8},
    PointPostprocessor: {"inference_th_test": 0.0, "post_nms_topk_test": 8},
}
MODELS = [
    "solov2_tiny",
    "solo_tiny",
    "decoupled_solo_tiny",
    "condinst_tiny",
    "freesolo_tiny",
    "panoptic_solov2_tiny",
]


def random_norms(model: nn.Module) -> None:
    """Gives every norm with statistics values that are not the identity."""
    for module in model.modules():
        if getattr(module, "running_var", None) is not None:
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.running_mean, std=0.1)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(std=0.1)


def quick_model(name: str) -> nn.Module:
    model = build_model(load_config(f"quick/{name}", ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""])).eval()
    random_norms(model)
    model.postprocess = replace(model.postprocess, **LOW_THRESHOLDS[type(model.postprocess)])
    return model


def raw_outputs(model: nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    """Returns the backbone's maps, which every method's head reads."""
    with torch.no_grad():
        return list(model.backbone(image).values())


@pytest.mark.parametrize("name", MODELS)
def test_folded_norms_change_features_by_rounding_only(name):
    model, image = quick_model(name), torch.rand(1, 3, 64, 96)
    wanted = raw_outputs(model, image)
    assert fold_norms(model) > 10
    assert not [m for m in model.backbone.modules() if isinstance(m, nn.BatchNorm2d | FrozenBatchNorm2d)]
    for one, other in zip(raw_outputs(model, image), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


def test_a_norm_of_batch_statistics_and_a_group_norm_stay():
    norms = [nn.BatchNorm2d(4, track_running_stats=False), nn.GroupNorm(2, 4)]
    model = nn.Sequential(*(Conv2d(4, 4, 1, norm=norm) for norm in norms))
    assert fold_norms(model) == 0
    assert [conv.norm for conv in model] == norms


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", MODELS)
def test_half_precision_changes_scores_a_little_and_no_dtype(name, precision):
    model = quick_model(name)
    inputs = [{"image": torch.randint(0, 256, (3, 64, 96)).float(), "height": 128, "width": 192}]
    with torch.no_grad():
        wanted = model(inputs)[0]["instances"]
        found = prepare_for_inference(model, precision, fold_norm=True, compile=False)(inputs)[0]["instances"]
    assert len(found) == len(wanted) == 8
    assert (found.scores.dtype, found.pred_masks.dtype) == (torch.float32, torch.bool)
    torch.testing.assert_close(found.scores, wanted.scores, rtol=0.05, atol=0.01)


def test_the_network_runs_in_the_chosen_format():
    model, seen = quick_model("solov2_tiny"), []
    model.backbone.register_forward_hook(lambda module, args, out: seen.extend(x.dtype for x in out.values()))
    with torch.no_grad():
        prepare_for_inference(model, "bf16", fold_norm=False, compile=False)(
            [{"image": torch.zeros(3, 64, 64)}]
        )
    assert set(seen) == {torch.bfloat16}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["solov2_tiny", "condinst_tiny"])
def test_a_compiled_model_gives_the_same_instances_at_two_sizes(name):
    model = quick_model(name)
    images = [torch.randint(0, 256, (3, *size)).float() for size in ((64, 96), (96, 128))]
    with torch.no_grad():
        wanted = [model([{"image": x}])[0]["instances"] for x in images]
        prepare_for_inference(model, "fp32", fold_norm=True, compile=True)
        for image, expected in zip(images, wanted, strict=True):
            found = model([{"image": image}])[0]["instances"]
            torch.testing.assert_close(found.scores, expected.scores, rtol=1e-3, atol=1e-4)
            assert (found.pred_masks != expected.pred_masks).float().mean() < 1e-2


def test_an_unknown_format_is_a_line_with_the_key():
    cfg = load_config("quick/solov2_tiny", ["MODEL.INFERENCE.PRECISION", "int8"])
    with pytest.raises(
        InputError, match=r"MODEL\.INFERENCE\.PRECISION must be one of fp32, bf16, fp16, not 'int8'"
    ):
        build(prepare_for_inference, cfg, "MODEL.INFERENCE", model=nn.Linear(1, 1))
