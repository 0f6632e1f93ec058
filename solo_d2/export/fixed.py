"""The form of fixed shapes of any model that has one, and its results as ``Instances``."""

from collections.abc import Mapping

from torch import Tensor, nn

from detectron2.structures import Instances
from solo_d2.methods.condinst.fixed import FixedCondInstInference
from solo_d2.methods.condinst.model import CondInst
from solo_d2.methods.condinst.postprocess import rescale_boxes
from solo_d2.methods.grid.fixed import FixedGridInference
from solo_d2.methods.grid.model import GridSegmenter
from solo_d2.modeling.fixed_inference import FixedInference
from solo_d2.modeling.meta_architecture import MetaArchitecture
from solo_d2.modeling.postprocess import build_instances
from solo_d2.utils.errors import InputError


def fixed_inference(model: nn.Module, num_candidates: int = 0, full_masks: bool = False) -> FixedInference:
    """Returns inference of fixed shapes that shares a trained model's weights.

    Args:
        model: SOLO, Decoupled SOLO, SOLOv2, FreeSOLO or CondInst, in float32.
        num_candidates: Candidates per image, N; 0 for 200, or 1,000 with box NMS. Results are the model's own
            where at most N candidates pass its score threshold.
        full_masks: Whether masks are binary and have the images' size, instead of soft and the model's.

    Raises:
        InputError: If the model has no such form, or N is above what the model itself takes.
    """
    if not isinstance(model, MetaArchitecture) or model.is_panoptic:
        raise InputError(f"{type(model).__name__} has no inference of fixed shapes")
    if isinstance(model, GridSegmenter):
        return FixedGridInference(model, num_candidates, full_masks)
    if isinstance(model, CondInst):
        return FixedCondInstInference(model, num_candidates, full_masks)
    raise InputError(f"{type(model).__name__} has no inference of fixed shapes")


def instances_of(
    results: Mapping[str, Tensor],
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    *,
    mask_stride: int,
    mask_threshold: float,
    aligned: bool,
) -> Instances:
    """Converts one image's results of :class:`FixedInference` with soft masks; see :func:`build_instances`.

    Args:
        results: Its entries of each output, (M, ...), and "count" ().
        image_size: Height and width of the image without padding.
        output_size: Height and width of the result.
        mask_stride: Attribute of the fixed inference.
        mask_threshold: Likewise.
        aligned: Likewise.
    """
    found = {name: values[: int(results["count"])] for name, values in results.items() if name != "count"}
    boxes = found.pop("boxes", None)
    instances = build_instances(
        found.pop("masks"),
        found.pop("scores"),
        found.pop("classes"),
        image_size=image_size,
        output_size=output_size,
        mask_stride=mask_stride,
        threshold=mask_threshold,
        boxes=None if boxes is None else rescale_boxes(boxes, image_size, output_size),
        aligned=aligned,
    )
    for name, values in found.items():
        instances.set(name, values)
    return instances
