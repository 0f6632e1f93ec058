"""Matching weights, tolerated differences, and messages about mistakes."""

import pytest
import torch

from solo_d2.checkpoint.compatibility import compare, find_problems, find_remarks, require_overlap
from solo_d2.checkpoint.weight_keys import DeclaredWeights
from solo_d2.methods import PanopticSOLOv2, SOLOv2
from solo_d2.utils.errors import InputError

MODEL = {
    "backbone.bottom_up.stem.conv1.weight": (4, 3),
    "backbone.bottom_up.res2.0.conv2_offset.weight": (18, 4),
    "backbone.bottom_up.stem.conv1.norm.running_mean": (4,),
    "backbone.fpn_lateral2.weight": (4, 4),
    "head.category_tower.0.weight": (4, 4),
    "head.category_tower.1.weight": (4, 4),
    "head.category_predictor.weight": (3, 4),
    "head.category_predictor.bias": (3,),
}
HEAD = [name for name in MODEL if name.startswith("head.")]


def tensors(shapes: dict) -> dict:
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def comparison(weights: dict, model: dict, method=SOLOv2):
    return compare(tensors(weights), tensors(model), DeclaredWeights(method))


def fit_of(drop=(), **changes):
    shapes = {name: shape for name, shape in MODEL.items() if name not in drop}
    renamed = {name.replace("__", "."): shape for name, shape in changes.items()}
    return comparison(shapes | renamed, MODEL)


def problems_of(fit, exact=False, whole_model=True, folded_statistics=False):
    return find_problems(fit, exact=exact, whole_model=whole_model, folded_statistics=folded_statistics)


def test_all_fits():
    fit = fit_of(**{"head.norm.num_batches_tracked": ()})
    assert problems_of(fit, exact=True) == [] == find_remarks(fit, folded_statistics=False)
    assert len(fit.matched) == len(MODEL)


def test_other_classes():
    changes = {"head.category_predictor.weight": (80, 4), "head.category_predictor.bias": (80,)}
    fit = fit_of(**changes)
    assert problems_of(fit) == []
    assert find_remarks(fit, folded_statistics=False) == [
        "only re-initializing head.category_predictor.weight and head.category_predictor.bias: "
        "the file has 80 classes, the model 3"
    ]
    [problem] = problems_of(fit, exact=True)
    assert "(80, 4) in the file, (3, 4) here" in problem
    assert problem.endswith("(the number of classes differs): change MODEL.SOLOV2.NUM_CLASSES")


def test_things_and_stuff_have_numbers_of_classes():
    names = ("head.category_predictor.bias", "sem_seg_head.predictor.bias")
    there, here = {names[0]: (80,), names[1]: (54,)}, {names[0]: (5,), names[1]: (3,)}
    fit = comparison(there, here, PanopticSOLOv2)
    assert problems_of(fit) == []
    assert find_remarks(fit, folded_statistics=False) == [
        "only re-initializing head.category_predictor.bias: the file has 80 classes, the model 5",
        "only re-initializing sem_seg_head.predictor.bias: the file has 54 classes, the model 3",
    ]


def test_other_shapes_name_the_key():
    for exact in (False, True):
        [problem] = problems_of(fit_of(**{"head.category_tower.0.weight": (8, 4)}), exact)
        assert problem == (
            "head.category_tower.0.weight (8, 4) in the file, (4, 4) here: "
            "change MODEL.SOLOV2.INSTANCE_CHANNELS"
        )


def test_half_a_part_is_a_mistake():
    [problem] = problems_of(fit_of(drop=["head.category_tower.1.weight"]))
    assert "lacks 1 of the model's 8 weights (head.category_tower.1.weight)" in problem
    assert "MODEL.SOLOV2.NUM_INSTANCE_CONVS" in problem
    [problem] = problems_of(fit_of(**{"head.category_tower.2.weight": (4, 4)}))
    assert "no place for 1 (head.category_tower.2.weight): check MODEL.SOLOV2.NUM_INSTANCE_CONVS" in problem


def test_whole_parts_may_be_missing_or_extra():
    fit = fit_of(drop=HEAD, **{"sem_seg_head.weight": (2, 2)})
    assert problems_of(fit) == []
    assert find_remarks(fit, folded_statistics=False) == [
        "it has no head: the model keeps its initial values there",
        "the model has no sem_seg_head: those weights are not used",
    ]
    [problem] = problems_of(fit, exact=True)
    assert "lacks 4 of the model's 8 weights" in problem


def test_a_pretrained_encoder_keeps_its_projections():
    """DenseCL of this project: backbone, projection heads and a second encoder in one file."""
    extra = {"backbone.neck.whole.0.weight": (2, 2), "key_encoder.bottom_up.stem.conv1.weight": (4, 3)}
    fit = fit_of(drop=["backbone.fpn_lateral2.weight", *HEAD], **extra)
    assert problems_of(fit) == []
    assert find_remarks(fit, folded_statistics=False) == [
        "it has no backbone.fpn, head: the model keeps its initial values there",
        "the model has no backbone.neck, key_encoder: those weights are not used",
    ]


def test_a_backbone_may_lack_offsets_and_statistics():
    offset, mean = list(MODEL)[1:3]
    fit = fit_of(drop=[offset, mean], **{"backbone.bottom_up.res2.0.norm.running_var": (4,)})
    assert len(problems_of(fit)) == 2
    assert problems_of(fit, whole_model=False, folded_statistics=True) == []
    told = find_remarks(fit, folded_statistics=True)
    assert any("no running statistics" in one for one in told)
    assert any("no offsets of deformable convolutions: 1 start" in one for one in told)
    assert any("1 weights are not used" in one for one in told)


def test_long_lists_are_cut():
    fit = fit_of(drop=HEAD[:-1], **{"head.category_predictor.bias": (3,)})
    assert "lacks 3" in problems_of(fit)[0]
    many = comparison({"head.x": (1,)}, {f"head.w{i}": (1,) for i in range(9)} | {"head.x": (1,)})
    assert "head.w3, 5 more)" in problems_of(many)[0]


def test_another_model():
    with pytest.raises(
        InputError, match=r"m.pth was made for another model: none of its 1 .* this model's 8\. .* mmdet"
    ):
        require_overlap(comparison({"x": (1,)}, MODEL), "m.pth", "mmdet, AdelaiDet")
    require_overlap(fit_of(drop=HEAD), "m.pth", "")
