"""Inference of fixed shapes: the eager model's results, by the same operations for every image."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from detectron2.modeling import build_model
from solo_d2.config.loading import load_config
from solo_d2.export.fixed import fixed_inference, outputs_of, restoring
from solo_d2.ops import restore_masks
from solo_d2.utils.errors import InputError

# Variants of a method, whose differences are small, are slow tests.
SOLOV2, BOX_NMS, MASK_NMS = (
    ("solov2_tiny", ()),
    ("condinst_tiny", ()),
    ("condinst_tiny", ("MODEL.CONDINST.NMS_TYPE", "matrix")),
)
PANOPTIC = [
    (name, ("MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH", "0.2"))
    for name in ("panoptic_solov2_tiny", "panoptic_condinst_tiny")
]
VARIANTS = [
    ("decoupled_solo_light_tiny", ()),
    ("solov2_tiny", ("MODEL.SOLOV2.MASK_FEATURE", "separate", "MODEL.SOLOV2.NMS_KERNEL", "linear")),
    ("solov2_tiny", ("MODEL.SOLOV2.KERNEL_SIZE", "3", "MODEL.SOLOV2.NUM_DCN_CONVS", "1")),
    ("solov2_tiny", ("MODEL.SOLOV2.RELATIVE_COORDINATES", "True")),
    ("condinst_tiny", ("MODEL.FCOS.CLIP_BEFORE_NMS", "True", "MODEL.CONDINST.BOXES_FROM_MASKS", "True")),
    ("condinst_tiny", ("MODEL.FCOS.THRESH_WITH_CTR", "False", "MODEL.FCOS.SQRT_SCORE", "False")),
]
MODELS = [
    ("solo_tiny", ()),
    ("decoupled_solo_tiny", ()),
    ("freesolo_tiny", ()),
    SOLOV2,
    BOX_NMS,
    MASK_NMS,
    *PANOPTIC,
    *(pytest.param(case, marks=pytest.mark.slow) for case in VARIANTS),
]
SIZES = [(120, 150), (96, 160)]
# Operators whose result or its shape must be known to the host before it can go on.
WAITING = {
    "nonzero",
    "nonzero_static",
    "item",
    "_local_scalar_dense",
    "masked_select",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "bincount",
    "is_nonzero",
    "equal",
    "repeat_interleave",
}


class OperatorNames(TorchDispatchMode):
    """Records the operators that run, and reads by boolean masks."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_") and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        self.found.append(f"{name} by mask" if by_mask else name)
        return func(*args, **(kwargs or {}))


def padded(images, model):
    """A batch of images of different sizes, and those sizes."""
    batch = model.pixel_mean.repeat(len(images), 1, 128, 160)
    for target, image in zip(batch, images, strict=True):
        target[:, : image.shape[1], : image.shape[2]] = image
    return batch, torch.tensor([image.shape[1:] for image in images])


@pytest.fixture(scope="module", params=MODELS, ids=lambda case: "-".join((case[0], *case[1][1::2])))
def model(request, build):
    return build(request.param[0], *request.param[1])[1]


@pytest.fixture
def images():
    return [torch.rand(3, *size) * 255 for size in SIZES]


@torch.no_grad()
def test_results_are_the_eager_models(model, images, same_instances, same_panoptic):
    outputs = [{"height": 2 * image.shape[1], "width": 100} for image in images]
    inputs = [{"image": image, **output} for image, output in zip(images, outputs, strict=True)]
    eager = model(inputs)
    fixed = fixed_inference(model, 500)
    batch, sizes = padded(images, model)
    found = fixed(batch, sizes)
    assert sum(len(one["instances"]) for one in eager) > 4
    for i, wanted in enumerate(eager):
        mine = {name: values[i] for name, values in found.items()}
        output_size = wanted["instances"].image_size
        outputs = outputs_of(mine, tuple(sizes[i].tolist()), output_size, **restoring(fixed))
        same_instances(outputs["instances"], wanted["instances"])
        same_panoptic(outputs, wanted)


@pytest.mark.parametrize(("name", "opts"), PANOPTIC)
@torch.no_grad()
def test_full_results_have_the_eager_models_segments(build, images, name, opts):
    model = build(name, *opts)[1]
    fixed = fixed_inference(model, 100, masks="full")
    batch, sizes = padded(images, model)
    found = fixed(batch, sizes)
    assert "semantic" not in found and fixed.needs_sizes
    for i, wanted in enumerate(model([{"image": image} for image in images])):
        ids, segments = wanted["panoptic_seg"]
        height, width = sizes[i].tolist()
        assert (found["panoptic"][i, :height, :width] != ids).sum() <= 4
        assert not found["panoptic"][i, height:].any() and not found["panoptic"][i, :, width:].any()
        assert found["segment_count"][i] == len(segments) > 1
        classes = found["segment_classes"][i, : len(segments)].tolist()
        assert classes == [segment["category_id"] for segment in segments]
        assert int(found["segment_things"][i].sum()) == sum(segment["isthing"] for segment in segments) > 0


@torch.no_grad()
def test_no_shape_and_no_host_depends_on_the_data(model, images):
    fixed = fixed_inference(model, 50)
    batch, sizes = padded(images, model)
    runs = []
    for pixels in (batch, batch * 0):
        with OperatorNames() as operators:
            found = fixed(pixels, sizes)
        runs.append((operators.found, {name: values.shape for name, values in found.items()}))
    assert runs[0] == runs[1]
    assert len(runs[0][0]) > 100
    assert not [name for name in runs[0][0] if name in WAITING or name.endswith("by mask")]


@pytest.mark.slow
@torch.no_grad()
def test_every_method_compiles_as_one_graph(model, images):
    """Panoptic models with the merge inside, which full masks need."""
    fixed = fixed_inference(model, 10, masks="full" if model.is_panoptic else "soft")
    batch, sizes = padded(images, model)
    found, wanted = torch.compile(fixed, fullgraph=True)(batch, sizes), fixed(batch, sizes)
    assert set(found) == set(wanted) and int(wanted["count"].sum()) > 2
    for name, values in wanted.items():
        if values.dtype.is_floating_point:
            torch.testing.assert_close(found[name], values, atol=1e-4, rtol=1e-4, msg=name)
        else:
            assert (found[name] != values).sum() <= 4, name


@torch.no_grad()
def test_the_eager_model_is_seen_to_wait(build, images):
    with OperatorNames() as operators:
        build("solov2_tiny")[1]([{"image": images[0]}])
    assert WAITING & set(operators.found)


@pytest.fixture(scope="module", params=[SOLOV2, BOX_NMS, MASK_NMS], ids=lambda case: "-".join(case[1]))
def few_models(request, build):
    return build(request.param[0], *request.param[1])[1]


@torch.no_grad()
def test_unused_entries_are_zero(few_models):
    model = few_models
    fixed = fixed_inference(model, 20)
    model.postprocess, before = _strict(model.postprocess), model.postprocess
    found = fixed(torch.rand(2, 3, 64, 64) * 255, torch.tensor([[64, 64]] * 2))
    model.postprocess = before
    assert found.pop("count").tolist() == [0, 0]
    assert all(not values.any() for values in found.values())
    assert found["scores"].shape == (2, 20)


def _strict(settings):
    """The settings with a threshold that nothing passes."""
    key = "score_thr" if hasattr(settings, "score_thr") else "inference_th_test"
    return replace(settings, **{key: 1.0})


@torch.no_grad()
def test_full_masks_are_the_soft_ones_enlarged(few_models, images):
    model = few_models
    batch, sizes = padded(images, model)
    full = fixed_inference(model, 20, masks="full")(batch, sizes)
    soft = fixed_inference(model, 20)(batch, sizes)
    assert full["masks"].dtype == torch.bool and full["masks"].shape[2:] == batch.shape[2:]
    for i in range(len(images)):
        fixed = fixed_inference(model, 20)
        restored = restore_masks(
            soft["masks"][i], fixed.mask_threshold, (128, 160), (128, 160), fixed.mask_stride, fixed.aligned
        )
        assert (restored.masks != full["masks"][i]).sum() <= 2


@torch.no_grad()
def test_of_too_many_candidates_the_best_are_used(build):
    model = build("solov2_tiny")[1]
    batch = torch.rand(1, 3, 128, 160) * 255
    many, few = fixed_inference(model, 200)(batch), fixed_inference(model, 3)(batch)
    assert few["scores"].shape == (1, 3) and few["count"] <= 3 < many["count"]


@pytest.mark.parametrize(
    ("name", "opts", "candidates", "message"),
    [
        ("solov2_tiny", ("MODEL.SOLOV2.NMS_TYPE", "hard"), 0, "set MODEL.SOLOV2.NMS_TYPE matrix"),
        ("condinst_tiny", ("MODEL.CONDINST.NMS_TYPE", "soft"), 0, "set MODEL.CONDINST.NMS_TYPE matrix"),
        ("solov2_tiny", (), 501, "give 1 to 500, which is the smaller of NMS_PRE and MAX_CELLS"),
        ("condinst_tiny", (), 1001, "MODEL.FCOS.PRE_NMS_TOPK_TEST"),
        ("solov2_tiny", (), -1, "give 1 to 500"),
    ],
)
def test_models_without_such_a_form(build, name, opts, candidates, message):
    with pytest.raises(InputError, match=message):
        fixed_inference(build(name, *opts)[1], candidates)


def test_other_networks_are_refused():
    free_mask = build_model(load_config("quick/free_mask_tiny", ["MODEL.DEVICE", "cpu"]))
    for network, name in ((torch.nn.Linear(1, 1), "Linear"), (free_mask, "FreeMask")):
        with pytest.raises(InputError, match=f"{name} has no inference of fixed shapes"):
            fixed_inference(network)


def test_boxes_need_the_sizes(build):
    with pytest.raises(InputError, match="give sizes"):
        fixed_inference(build("condinst_tiny")[1])(torch.zeros(1, 3, 64, 64))
