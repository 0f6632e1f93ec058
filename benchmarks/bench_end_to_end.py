"""One picture of 800 pixels from tensor to instances: number formats against the network as its peers run it.

    python benchmarks/bench_end_to_end.py
    python benchmarks/bench_end_to_end.py --models solov2_R50 condinst --candidates 500 --json rows.json

The peers' form: the same network and weights, contiguous, with separate norms, in float32; masks of all
candidates at once, Matrix NMS as a float matrix product, masks restored whole. CondInst's has this project's
box NMS and mask head. Weights are random: thresholds are set so that about the given number of candidates
passes, and once the network has computed its masks, which are noise, wavy ellipses take their place in both
forms (an average box covers 6% of the picture). All candidates become instances. Times are CPU times; the
instances of both forms are compared before they are timed.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from unittest import mock

import torch
import torch.nn.functional as F
from bench_matrix_nms import published
from bench_restore import soft_masks
from timing import build_parser, interleaved_ms, report, row
from torch import Tensor, nn

from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from solo_d2.config.loading import load_config
from solo_d2.layers import aligned_bilinear
from solo_d2.methods.condinst import postprocess as point_postprocess
from solo_d2.methods.grid.postprocess import GridPostprocessor
from solo_d2.modeling.inference import prepare_for_inference

MODELS = {
    "solov2_R50": ("SOLOv2/solov2_R50_3x", (800, 1216)),
    "solov2_light_R18": ("SOLOv2/solov2_light_448_R18_3x", (448, 672)),
    "solov2_light_R50": ("SOLOv2/solov2_light_448_R50_3x", (448, 672)),
    "condinst": ("CondInst/condinst_R50_3x", (800, 1216)),
}
THRESHOLD = 0.5


def restored_whole(soft: Tensor, image_size, output_size, stride: int, aligned: bool) -> Tensor:
    """Every step on all masks, all pixels."""
    if aligned:
        full = aligned_bilinear(soft[None], stride)
    else:
        full = F.interpolate(soft[None], scale_factor=stride, mode="bilinear", align_corners=False)
    full = full[..., : image_size[0], : image_size[1]]
    return F.interpolate(full, size=output_size, mode="bilinear", align_corners=False)[0] > THRESHOLD


def instances_whole(
    soft, scores, classes, *, image_size, output_size, mask_stride, aligned=False, boxes=None, **_
) -> Instances:
    """Stands in for ``build_instances``."""
    masks = restored_whole(soft, image_size, output_size, mask_stride, aligned)
    boxes = Boxes(torch.zeros(len(scores), 4) if boxes is None else boxes)
    return Instances(output_size, pred_masks=masks, scores=scores, pred_classes=classes, pred_boxes=boxes)


def grid_whole(
    settings: GridPostprocessor, scores, soft_masks, mask_size, strides, image_size, output_size, values
) -> Instances:
    """Stands in for a ``GridPostprocessor``; all classes compete, as ``one_class`` makes sure."""
    cell, category = (scores > settings.score_thr).nonzero(as_tuple=True)
    soft = soft_masks(cell)
    masks = soft > THRESHOLD
    area = masks.sum((1, 2))
    kept = area > strides[cell]
    cell, category, soft, masks, area = (x[kept] for x in (cell, category, soft, masks, area))
    confidence = scores[cell, category] * (soft * masks).sum((1, 2)) / area
    order = confidence.argsort(descending=True)[: settings.nms_pre]
    decayed = published(masks[order], confidence[order])
    best = decayed.argsort(descending=True)[: settings.max_per_img]
    return instances_whole(
        soft[order][best],
        decayed[best],
        category[order][best],
        image_size=image_size,
        output_size=output_size,
        mask_stride=settings.mask_stride,
    )


def random_model(config: str) -> nn.Module:
    """A model of one class with random weights and norms."""
    torch.manual_seed(0)
    one_class = [f"MODEL.{node}.NUM_CLASSES" for node in ("SOLOV2", "FCOS")]
    opts = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", *(x for key in one_class for x in (key, "1"))]
    model = build_model(load_config(config, opts)).eval()
    for module in model.modules():
        if getattr(module, "running_var", None) is not None:
            module.running_var.uniform_(0.5, 2)
    return model


class DrawnMasks:
    """Stands in for a model's postprocessor; gives the real one drawn masks for computed ones.

    Args:
        original: The postprocessor.
        place: Which of its arguments computes the masks.
        count: Drawn masks; neighboring cells have different ones.
    """

    def __init__(self, original, place: int, count: int):
        self.original, self.place = original, place
        self.drawn = soft_masks(count)

    def __call__(self, *args):
        compute = args[self.place]
        instead = [*args]
        instead[self.place] = lambda cells: self._draw(compute(cells), cells)
        return self.original(*instead)

    def _draw(self, computed: Tensor, cells: Tensor) -> Tensor:
        size = computed.shape[1:]
        if self.drawn.shape[1:] != size:
            self.drawn = F.interpolate(self.drawn[None], size=size, mode="bilinear")[0]
        return self.drawn[cells % len(self.drawn)]


def with_candidates(model: nn.Module, inputs: list[dict], count: int) -> None:
    """Sets the thresholds so that about ``count`` candidates pass all of them.

    They end at the widest gap of scores, where rounding does not decide which candidates pass.
    """
    seen: list[Tensor] = []
    original = model.postprocess
    model.postprocess = lambda *args: seen.extend(args[:2]) or original(*args)
    model(inputs)
    if isinstance(original, GridPostprocessor):
        limits = {"update_thr": 0.0, "max_per_img": count, "nms_pre": count}
        key, scores = "score_thr", seen[0]
    else:
        limits = {"nms_th": 1.0, "post_nms_topk_test": count}
        key, scores = "inference_th_test", seen[0] * seen[1][:, None]
    first = int(0.9 * count)
    best = scores.flatten().topk(count + 1).values[first:]
    gap = int((best[:-1] - best[1:]).argmax())
    model.postprocess = replace(original, **limits, **{key: float(best[gap] + best[gap + 1]) / 2})


def as_peers(model: nn.Module) -> nn.Module:
    """Changes a model to the peers' form, in place."""
    model.to(memory_format=torch.contiguous_format)
    preprocess = model.preprocess

    def contiguous(inputs: list[dict]):
        batch = preprocess(inputs)
        batch.tensor = batch.tensor.contiguous()
        return batch

    model.preprocess = contiguous
    if isinstance(model.postprocess, GridPostprocessor):
        model.postprocess = partial(grid_whole, model.postprocess)
    else:
        original = model.postprocess
        patched = mock.patch.object(point_postprocess, "build_instances", instances_whole)
        model.postprocess = lambda *args: patched(original)(*args)
    return model


def model_rows(name: str, count: int, precisions: Sequence[str], repeats: int) -> list[dict]:
    config, size = MODELS[name]
    inputs = [{"image": torch.randint(0, 256, (3, *size)).float()}]
    models = [random_model(config) for _ in ("peers", *precisions)]
    for model in models:
        with_candidates(model, inputs, count)
    peers = as_peers(models[0])
    for model in models:
        model.postprocess = DrawnMasks(model.postprocess, 4 if name == "condinst" else 1, count)
    wanted = peers(inputs)[0]["instances"]
    forms = [peers]
    for model, precision in zip(models[1:], precisions, strict=True):
        forms.append(prepare_for_inference(model, precision, fold_norm=True, compile=False))
        compare(model(inputs)[0]["instances"], wanted, exact=precision == "fp32")
    theirs, *ours = interleaved_ms([partial(form, inputs) for form in forms], repeats, time.process_time)
    title = f"{name}, {count} candidates"
    return [row(f"{title}, {form}", x, theirs, "ms") for form, x in zip(precisions, ours, strict=True)]


def compare(found: Instances, wanted: Instances, exact: bool) -> None:
    """Raises an AssertionError if the instances differ by more than rounding explains."""
    assert abs(len(found) - len(wanted)) <= 0.05 * len(wanted), (len(found), len(wanted))
    areas = [x.pred_masks.flatten(1).sum(1) for x in (found, wanted)]
    assert all(float((area > 0).float().mean()) > 0.95 for area in areas), "empty masks"
    if exact:
        assert len(found) == len(wanted)
        torch.testing.assert_close(found.scores, wanted.scores, rtol=1e-3, atol=1e-5)
        either = (found.pred_masks | wanted.pred_masks).flatten(1).sum(1)
        iou = (found.pred_masks & wanted.pred_masks).flatten(1).sum(1) / either.clamp(min=1)
        assert float(iou.median()) > 0.9999, float(iou.median())  # equal scores may come in another order
    print(f"{len(found)} instances, {len(wanted)} of the peers, {int(areas[1].float().mean())} pixels each")


@torch.no_grad()
def main() -> None:
    parser = build_parser(__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--candidates", type=int, nargs="+", default=[100])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    args = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    cases = [(name, count) for count in args.candidates for name in args.models]
    report([r for case in cases for r in model_rows(*case, args.precisions, args.repeats)], args.json)


if __name__ == "__main__":
    main()
