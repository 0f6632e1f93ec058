"""Postprocessing of point predictions to instances (CondInst paper, section 2.4; without boxes: section 3.5).

K: locations of all levels; C: classes; M: candidates, (location, class) pairs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from detectron2.structures import Instances
from solo_d2.modeling.postprocess import best_of, build_instances
from solo_d2.ops import NMS_TYPES, box_nms, mask_nms
from solo_d2.utils.errors import InputError

from .points import Points

SoftMasks = Callable[[Tensor], Tensor]
"""Maps locations, (n,) int64 in [0, K), to their soft masks, (n, h, w) float in [0, 1]."""

BOX_OR_MASK_NMS = ("box", *NMS_TYPES)


@dataclass(frozen=True)
class Candidates:
    """An image's candidates, best first: location (M,), class (M,) and score (M,)."""

    point: Tensor
    category: Tensor
    scores: Tensor

    def __getitem__(self, index: Tensor | slice) -> "Candidates":
        return Candidates(self.point[index], self.category[index], self.scores[index])

    def rescored(self, scores: Tensor) -> "Candidates":
        """Returns the same candidates with new scores, best first."""
        return Candidates(self.point, self.category, scores)[scores.argsort(descending=True, stable=True)]


@dataclass(frozen=True)
class PointPostprocessor:
    """Turns predictions into instances; for the thresholds see ``MODEL.FCOS`` and ``MODEL.CONDINST``.

    With ``with_masks`` False results have boxes only; if these are the detector's, no mask is computed.

    Raises:
        InputError: If ``nms_type`` is unknown.
    """

    inference_th_test: float
    thresh_with_ctr: bool
    sqrt_score: bool
    pre_nms_topk_test: int
    clip_before_nms: bool
    nms_th: float
    post_nms_topk_test: int
    nms_type: str
    nms_pre: int
    nms_kernel: str
    nms_sigma: float
    nms_thr: float
    update_thr: float
    mask_thr: float
    boxes_from_masks: bool
    mask_out_stride: int
    with_masks: bool

    def __post_init__(self):
        if self.nms_type not in BOX_OR_MASK_NMS:
            raise InputError(f"nms_type must be one of {', '.join(BOX_OR_MASK_NMS)}, not '{self.nms_type}'.")

    def __call__(
        self,
        class_scores: Tensor,
        centerness: Tensor,
        distances: Tensor | None,
        points: Points,
        soft_masks: SoftMasks,
        image_size: tuple[int, int],
        output_size: tuple[int, int],
    ) -> Instances:
        """Turns one image's predictions into instances.

        Args:
            class_scores: (K, C) in [0, 1].
            centerness: (K,) in [0, 1].
            distances: (K, 4) pixels to the sides of the box; may be None if ``nms_type`` is not "box".
            points: The locations.
            soft_masks: Computes the masks of chosen locations.
            image_size: Height and width of the network input without padding.
            output_size: Height and width of the results.

        Returns:
            At most ``post_nms_topk_test`` instances, best first; see :func:`build_instances`. Boxes are the
            detector's with box NMS unless ``boxes_from_masks``, and the masks' bounds otherwise.
        """
        candidates = self._select(class_scores, centerness, points)
        boxes = None
        if self.nms_type == "box":
            assert distances is not None, "box NMS needs boxes"
            candidates, boxes = self._suppress_boxes(candidates, distances, points, image_size)
            boxes = None if self.boxes_from_masks else rescale_boxes(boxes, image_size, output_size)
            masks = soft_masks(candidates.point) if self.with_masks or boxes is None else None
        else:
            candidates, masks = self._suppress_masks(candidates, soft_masks)
        return build_instances(
            masks,
            candidates.scores,
            candidates.category,
            image_size=image_size,
            output_size=output_size,
            mask_stride=self.mask_out_stride,
            threshold=self.mask_thr,
            with_masks=self.with_masks,
            boxes=boxes,
            aligned=True,
        )

    def _select(self, class_scores: Tensor, centerness: Tensor, points: Points) -> Candidates:
        """Selects the candidates above the threshold, at most ``pre_nms_topk_test`` per level."""
        product = class_scores * centerness[:, None]
        ranked = product if self.thresh_with_ctr else class_scores
        lengths = [height * width for height, width in points.sizes]
        found, start = [], 0
        for level in ranked.split(lengths):
            point, category = (level > self.inference_th_test).nonzero(as_tuple=True)
            best = level[point, category].topk(min(self.pre_nms_topk_test, len(point))).indices
            found.append((point[best] + start, category[best]))
            start += len(level)
        point, category = (torch.cat(part) for part in zip(*found, strict=True))
        scores = product[point, category]
        return Candidates(point, category, scores).rescored(scores.sqrt() if self.sqrt_score else scores)

    def _suppress_boxes(
        self, candidates: Candidates, distances: Tensor, points: Points, image_size: tuple[int, int]
    ) -> tuple[Candidates, Tensor]:
        """Applies box NMS; returns the survivors and their boxes (n, 4), XYXY in network-input pixels."""
        near, far = distances[candidates.point].split(2, dim=1)
        location = points.locations[candidates.point]
        boxes = torch.cat([location - near, location + far], dim=1)
        clipped = _clip_boxes(boxes, image_size)
        boxes = clipped if self.clip_before_nms else boxes
        visible = (clipped[:, 2:] > clipped[:, :2]).all(1) & boxes.isfinite().all(1)
        candidates, boxes = candidates[visible], boxes[visible]
        kept = box_nms(boxes, candidates.category, self.nms_th, self.post_nms_topk_test)
        return candidates[kept], boxes[kept]

    def _suppress_masks(self, candidates: Candidates, soft_masks: SoftMasks) -> tuple[Candidates, Tensor]:
        """Applies mask NMS; returns the survivors and their soft masks (n, h, w)."""
        candidates = candidates[: self.nms_pre]
        used, index = candidates.point.unique(return_inverse=True)
        masks = soft_masks(used)
        scores = mask_nms(
            (masks > self.mask_thr)[index],
            candidates.category,
            candidates.scores,
            self.nms_type,
            self.nms_kernel,
            self.nms_sigma,
            self.nms_thr,
        )
        best = best_of(scores, self.update_thr, self.post_nms_topk_test)
        return Candidates(candidates.point[best], candidates.category[best], scores[best]), masks[index[best]]


def _clip_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Clips (n, 4) XYXY boxes to an image of the given height and width."""
    return boxes.clamp(min=0).minimum(boxes.new_tensor([size[1], size[0]] * 2))


def rescale_boxes(boxes: Tensor, image_size: tuple[int, int], output_size: tuple[int, int]) -> Tensor:
    """Maps (n, 4) XYXY boxes from the network input without padding to the output, and clips them."""
    factor = boxes.new_tensor([output_size[1] / image_size[1], output_size[0] / image_size[0]] * 2)
    return _clip_boxes(boxes * factor, output_size)
