"""Inference of fixed shapes for CondInst; see :mod:`solo_d2.modeling.fixed_inference`.

B: images; K: locations; N: candidates, best score first; M: results; h, w: mask size.
"""

import torch
from torch import Tensor

from solo_d2.modeling.fixed_inference import FixedInference, FixedMatrixNMS, blank, pick

from .head import PointPredictions
from .model import CondInst
from .points import Points

# Rounds of box NMS. They suffice unless suppressions depend on each other in a longer chain: box 1 removes
# box 2, which therefore spares box 3, which therefore removes box 4, and so on.
_NMS_ROUNDS = 64


class FixedCondInstInference(FixedInference):
    """The N best (location, class) pairs, box NMS or Matrix NMS among them, and masks."""

    model: CondInst
    aligned = True

    def __init__(self, model: CondInst, num_candidates: int = 0, masks: str = "soft"):
        """
        Args:
            model: The segmenter.
            num_candidates: N; 0 for the default.
            masks: See :class:`FixedInference`.

        Raises:
            InputError: If the model's NMS is neither box NMS nor Matrix NMS, or N is above what enters it.
        """
        settings = model.postprocess
        by_boxes = settings.nms_type == "box"
        self.default_candidates = 1000 if by_boxes else 200
        self.limit_key = "MODEL.FCOS.PRE_NMS_TOPK_TEST" if by_boxes else "MODEL.CONDINST.NMS_PRE"
        super().__init__(
            model,
            num_candidates,
            limit=settings.pre_nms_topk_test if by_boxes else settings.nms_pre,
            num_results=settings.post_nms_topk_test,
            mask_stride=settings.mask_out_stride,
            mask_threshold=settings.mask_thr,
            nms=None if by_boxes else FixedMatrixNMS(settings, "MODEL.CONDINST"),
            masks=masks,
        )
        self.needs_sizes = by_boxes

    def predict(self, features: dict[str, Tensor], sizes: Tensor | None) -> dict[str, Tensor]:
        model, settings = self.model, self.model.postprocess
        predictions = model.head([features[f] for f in model.in_features])
        mask_features = model.mask_features(features)
        points = model.point_generator.generate(predictions.sizes, mask_features.device)
        categories = predictions.class_logits.float().sigmoid()
        product = categories * predictions.centerness.float().sigmoid()[..., None]
        ranked = product if settings.thresh_with_ctr else categories
        scores, point, classes = self.top_candidates(product, ranked > settings.inference_th_test)
        valid = scores >= 0
        scores = scores.clamp(min=0)
        scores = scores.sqrt() if settings.sqrt_score else scores
        if self.nms is None:
            assert sizes is not None, "forward checks it"
            boxes = self._boxes(predictions, points, point)
            boxes, kept = self._suppress_boxes(boxes, classes, valid, sizes)
            results = self.results(scores, kept, classes=classes, point=point, boxes=boxes)
            point = results.pop("point")
            masks = self._soft_masks(predictions, mask_features, points, point)
            results["masks"] = blank(masks, results["count"])
            if settings.boxes_from_masks:
                del results["boxes"]
            return results
        soft = self._soft_masks(predictions, mask_features, points, point)
        scores, valid = self.nms((soft > self.mask_threshold).float(), classes, scores, valid)
        return self.results(scores, valid, classes=classes, masks=soft)

    def _soft_masks(
        self, predictions: PointPredictions, mask_features: Tensor, points: Points, point: Tensor
    ) -> Tensor:
        return self.model.predict_masks(predictions, mask_features, points, point, at_once=True).sigmoid()

    def _boxes(self, predictions: PointPredictions, points: Points, point: Tensor) -> Tensor:
        """Returns the boxes of chosen locations (B, N): (B, N, 4) XYXY in input pixels, not clipped."""
        assert predictions.distances is not None, "box NMS needs boxes"
        distances = pick(predictions.distances, point).float() * points.strides[point][..., None]
        near, far = distances.split(2, dim=2)
        location = points.locations[point]
        return torch.cat([location - near, location + far], dim=2)

    def _suppress_boxes(
        self, boxes: Tensor, classes: Tensor, valid: Tensor, sizes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Applies greedy NMS; returns the boxes, clipped if the model clips, and those kept, (B, N) bool."""
        settings = self.model.postprocess
        clipped = boxes.clamp(min=0).minimum(sizes.flip(1).repeat(1, 2)[:, None].float())
        boxes = clipped if settings.clip_before_nms else boxes
        valid = valid & (clipped[..., 2:] > clipped[..., :2]).all(2) & boxes.isfinite().all(2)
        place = torch.arange(boxes.shape[1], device=boxes.device)
        suppresses = _overlap(boxes, settings.nms_th) & (classes[:, :, None] == classes[:, None])
        suppresses = (suppresses & valid[:, :, None] & (place[:, None] < place)).float()
        alive = valid
        for _ in range(min(self.num_candidates, _NMS_ROUNDS)):
            alive = valid & ((alive.float()[:, None] @ suppresses)[:, 0] == 0)
        return boxes, alive


def _overlap(boxes: Tensor, iou_threshold: float) -> Tensor:
    """Returns (B, N, N) bool, where the IoU of boxes (B, N, 4) exceeds the threshold."""
    near, far = boxes.split(2, dim=2)
    sides = torch.minimum(far[:, :, None], far[:, None]) - torch.maximum(near[:, :, None], near[:, None])
    width, height = sides.clamp(min=0).unbind(3)
    intersection = width * height
    area = (far - near)[..., 0] * (far - near)[..., 1]
    return intersection > iou_threshold * (area[:, :, None] + area[:, None] - intersection)
