"""The form of fixed shapes of any model that has one, and its results as ``Instances``."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from detectron2.structures import Instances
from solo_d2.layers import restore_size
from solo_d2.methods.condinst.fixed import FixedCondInstInference
from solo_d2.methods.condinst.model import CondInst
from solo_d2.methods.condinst.postprocess import rescale_boxes
from solo_d2.methods.grid.fixed import FixedGridInference
from solo_d2.methods.grid.model import GridSegmenter
from solo_d2.methods.panoptic.fixed import FixedPanopticInference
from solo_d2.methods.panoptic.postprocess import PanopticMerge
from solo_d2.modeling.fixed_inference import FixedInference
from solo_d2.modeling.meta_architecture import MetaArchitecture
from solo_d2.modeling.postprocess import build_instances
from solo_d2.utils.errors import InputError


class FixedPanopticGridInference(FixedPanopticInference, FixedGridInference):
    """A panoptic model of the SOLO family."""


class FixedPanopticCondInstInference(FixedPanopticInference, FixedCondInstInference):
    """A panoptic CondInst."""


# The forms of a method's models, and of its panoptic ones.
_FORMS: dict[type[nn.Module], tuple[type, type]] = {
    GridSegmenter: (FixedGridInference, FixedPanopticGridInference),
    CondInst: (FixedCondInstInference, FixedPanopticCondInstInference),
}


def fixed_inference(model: nn.Module, num_candidates: int = 0, masks: str = "soft") -> FixedInference:
    """Returns inference of fixed shapes that shares a trained model's weights.

    Args:
        model: SOLO, Decoupled SOLO, SOLOv2, FreeSOLO, CondInst or a panoptic model, in float32.
        num_candidates: Candidates per image, N; 0 for 200, or 1,000 with box NMS. Results are the model's own
            where at most N candidates pass its score threshold.
        masks: "soft", "full" or "rle-ready", see :class:`FixedInference`.

    Raises:
        InputError: If the model has no such form, N is above what the model itself takes, or masks have no
            such form.
    """
    for method, (plain, panoptic) in _FORMS.items():
        if isinstance(model, method) and isinstance(model, MetaArchitecture):
            return (panoptic if model.is_panoptic else plain)(model, num_candidates, masks)
    raise InputError(f"{type(model).__name__} has no inference of fixed shapes")


# What restores results to the size of the image: attributes of FixedInference, and of a panoptic one.
_RESTORING = ("mask_stride", "mask_threshold", "aligned", "semantic_stride", "merge")


def restoring(described: object) -> dict[str, Any]:
    """Returns the keywords of :func:`outputs_of` from a fixed inference or an exported file's description."""
    return {name: getattr(described, name) for name in _RESTORING if hasattr(described, name)}


def outputs_of(
    results: Mapping[str, Tensor],
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    *,
    mask_stride: int,
    mask_threshold: float,
    aligned: bool,
    semantic_stride: int = 0,
    merge: PanopticMerge | None = None,
) -> dict[str, Any]:
    """Converts one image's results of :class:`FixedInference` with soft masks to the model's own output.

    Args:
        results: See :func:`instances_of`, as are all arguments not listed; "semantic" (C, h, w) if the model
            is panoptic.
        image_size: Height and width of the image without padding.
        output_size: Height and width of the result.
        semantic_stride: Input pixels per pixel of "semantic".
        merge: Merges instances and semantic map; None keeps them separate.

    Returns:
        "instances" and, of a panoptic model, "sem_seg" and "panoptic_seg".
    """
    instances = instances_of(
        {name: values for name, values in results.items() if name != "semantic"},
        image_size,
        output_size,
        mask_stride=mask_stride,
        mask_threshold=mask_threshold,
        aligned=aligned,
    )
    if "semantic" not in results:
        return {"instances": instances}
    semantic = restore_size(results["semantic"][None], image_size, output_size, semantic_stride)[0]
    outputs = {"instances": instances, "sem_seg": semantic}
    return outputs if merge is None else {**outputs, "panoptic_seg": merge(instances, semantic.argmax(0))}


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
