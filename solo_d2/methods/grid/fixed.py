"""Inference of fixed shapes for the whole SOLO family; see :mod:`solo_d2.modeling.fixed_inference`.

B: images; K: cells; N: candidates; h, w: mask size.
"""

from torch import Tensor

from solo_d2.modeling.fixed_inference import FixedInference, FixedMatrixNMS, pick

from .model import GridSegmenter
from .postprocess import cell_scores


class FixedGridInference(FixedInference):
    """Scores of all cells, masks of the N best (cell, class) pairs, Matrix NMS among them."""

    model: GridSegmenter
    nms: FixedMatrixNMS
    default_candidates = 200
    limit_key = "the smaller of NMS_PRE and MAX_CELLS"

    def __init__(self, model: GridSegmenter, num_candidates: int = 0, masks: str = "soft"):
        """
        Args:
            model: The segmenter.
            num_candidates: N; 0 for the default.
            masks: See :class:`FixedInference`.

        Raises:
            InputError: If the model's NMS is not Matrix NMS, or N is above NMS_PRE or MAX_CELLS.
        """
        settings = model.postprocess
        super().__init__(
            model,
            num_candidates,
            limit=min(settings.nms_pre, settings.max_cells),
            num_results=settings.max_per_img,
            mask_stride=settings.mask_stride,
            mask_threshold=settings.mask_thr,
            nms=FixedMatrixNMS(settings, f"MODEL.{model.config_node}"),
            masks=masks,
        )
        self.cell_strides: Tensor
        self.register_buffer("cell_strides", model.layout.cell_strides(model.device), False)

    def predict(self, features: dict[str, Tensor], sizes: Tensor | None) -> dict[str, Tensor]:
        category_logits, masks = self.model.predict(features)
        passed = cell_scores(category_logits)
        scores, cell, classes = self.top_candidates(passed, passed > self.model.postprocess.score_thr)
        soft = masks.soft_batch(cell)
        inside = (soft > self.mask_threshold).float()
        area = inside.sum((2, 3))
        valid = (scores >= 0) & (area > self.cell_strides[cell])
        scores = scores * (soft * inside).sum((2, 3)) / area.clamp(min=1)
        scores, valid = self.nms(inside, classes, scores, valid)
        values = {name: pick(value, cell) for name, value in masks.cell_values.items()}
        return self.results(scores, valid, classes=classes, masks=soft, **values)
