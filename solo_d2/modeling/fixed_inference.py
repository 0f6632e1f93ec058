"""Inference of fixed shapes: the same operations for every image, and no wait for the device.

Every image has N candidates and M results; entries that an image does not use are 0. Export needs this.

B: images; K: cells or locations per image; C: classes; N: candidates, (place, class) pairs; M: results;
h, w: mask size.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solo_d2.layers import aligned_bilinear, map_size, resize
from solo_d2.utils.errors import InputError

from .meta_architecture import DenseSegmenter

# Marks the candidates that an image does not have; real scores are at least 0.
_ABSENT = -1.0
MASK_FORMS = ("soft", "full", "rle-ready")


class FixedInference(nn.Module):
    """Wraps a trained segmenter; a subclass per method provides :meth:`predict`.

    Results are the model's own where at most N candidates pass its score threshold. Of more, the N with the
    best category scores are used. The order of equal scores may differ.

    Attributes:
        model: The segmenter, in evaluation mode.
        num_candidates: N.
        num_results: M.
        mask_stride: Input pixels per mask pixel.
        mask_threshold: Mask pixels are strictly above it.
        aligned: Whether masks are upsampled by :func:`solo_d2.layers.aligned_bilinear`.
        needs_sizes: Whether results depend on the images' sizes without padding.
        masks: One of MASK_FORMS. "soft": soft masks of the model's size. "full": binary ones of the images'
            size. "rle-ready": the same as bits, column by column, as COCO's run lengths go.
    """

    aligned: bool = False
    needs_sizes: bool = False
    # N unless the caller chooses it, and the config key that is its upper bound.
    default_candidates: int
    limit_key: str

    def __init__(
        self,
        model: DenseSegmenter,
        num_candidates: int,
        *,
        limit: int,
        num_results: int,
        mask_stride: int,
        mask_threshold: float,
        nms: "FixedMatrixNMS | None",
        masks: str,
    ):
        """
        Args:
            model: The segmenter.
            num_candidates: N; 0 for the default.
            limit: Candidates that the model itself takes at most.
            num_results: M, if N is not smaller.
            mask_stride: Input pixels per mask pixel.
            mask_threshold: Threshold of masks.
            nms: Mask NMS of the model; None if it has another one.
            masks: One of MASK_FORMS.

        Raises:
            InputError: If ``num_candidates`` is not between 1 and ``limit``, or ``masks`` is no form.
        """
        super().__init__()
        if not 0 <= num_candidates <= limit:
            raise InputError(f"{num_candidates} candidates: give 1 to {limit}, which is {self.limit_key}")
        if masks not in MASK_FORMS:
            raise InputError(f"masks {masks!r}: they must be one of {', '.join(MASK_FORMS)}")
        self.model = model.eval()
        self.num_candidates = num_candidates or min(self.default_candidates, limit)
        self.num_results = min(num_results, self.num_candidates)
        self.mask_stride = mask_stride
        self.mask_threshold = mask_threshold
        self.nms = nms
        self.masks = masks

    def forward(self, images: Tensor, sizes: Tensor | None = None) -> dict[str, Tensor]:
        """
        Args:
            images: (B, 3, H, W) float, values 0 to 255 in the order of ``INPUT.FORMAT``, padded right and
                below with the pixel mean; H and W are multiples of the backbone's ``size_divisibility``.
            sizes: (B, 2) int64, each image's height and width without padding; read if ``needs_sizes``.

        Returns:
            "scores" (B, M) float32, best first; "classes" (B, M) int64; "count" (B,) int64, how many of the M
            are results; "masks" over the padded image: soft (B, M, h, w) float32, full (B, M, H, W) bool, or
            RLE-ready (B, M, W, H / 8) uint8, whose highest bit is the first; and the method's further values.

        Raises:
            InputError: If ``sizes`` are needed and None.
        """
        if self.needs_sizes and sizes is None:
            raise InputError("this model's results depend on the images' sizes without padding: give sizes")
        images = self.model.normalize(images).contiguous(memory_format=torch.channels_last)
        results = self.predict(self.model.backbone(images), sizes)
        if self.masks != "soft":
            results = self.enlarge_results(results, sizes)
        if self.masks == "rle-ready":
            results["masks"] = pack_columns(results["masks"])
        return results

    def predict(self, features: dict[str, Tensor], sizes: Tensor | None) -> dict[str, Tensor]:
        """Maps the backbone's outputs to the results of :meth:`forward`, with soft masks."""
        raise NotImplementedError

    def enlarge_results(self, results: dict[str, Tensor], sizes: Tensor | None) -> dict[str, Tensor]:
        """Maps results of :meth:`predict` to those with full masks."""
        return {**results, "masks": self.enlarge(results["masks"]) > self.mask_threshold}

    def enlarge(self, masks: Tensor) -> Tensor:
        """Upsamples (B, M, h, w) to the padded image."""
        if self.aligned:
            return aligned_bilinear(masks, self.mask_stride)
        height, width = map_size(masks)
        return resize(masks, (height * self.mask_stride, width * self.mask_stride))

    def top_candidates(self, scores: Tensor, passing: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Selects N candidates.

        Args:
            scores: (B, K, C), at least 0.
            passing: (B, K, C) bool, the candidates.

        Returns:
            Scores, negative for an entry without a candidate, places and classes: (B, N) each, best first.
        """
        num_classes = scores.shape[2]
        flat = torch.where(passing, scores, _ABSENT).flatten(1)
        # Small images may have fewer than N pairs.
        best, index = F.pad(flat, (0, self.num_candidates), value=_ABSENT).topk(self.num_candidates)
        index = index.clamp(max=flat.shape[1] - 1)
        return best, index // num_classes, index % num_classes

    def results(self, scores: Tensor, valid: Tensor, **values: Tensor) -> dict[str, Tensor]:
        """Selects the M best of the valid candidates.

        Args:
            scores: (B, N), at least 0 where valid.
            valid: (B, N) bool.
            **values: (B, N, ...) each; "classes" (B, N) is one.

        Returns:
            "scores", "count" and the values of the selected ones; zeros from "count" on.
        """
        scores, best = torch.where(valid, scores, _ABSENT).topk(self.num_results)
        count = (scores >= 0).sum(1)
        chosen = {name: blank(pick(value, best), count) for name, value in values.items()}
        return {"scores": scores.clamp(min=0), "count": count, **chosen}


def pack_columns(masks: Tensor) -> Tensor:
    """Packs binary masks (..., H, W) by columns: (..., W, H / 8) uint8; H is a multiple of 8."""
    bits = masks.transpose(-1, -2).unflatten(-1, (-1, 8)).float()
    return (bits @ 2.0 ** torch.arange(7, -1, -1, device=masks.device)).to(torch.uint8)


def pick(values: Tensor, index: Tensor) -> Tensor:
    """Returns each image's chosen entries: (B, N, ...) by (B, M) int64 in [0, N), as (B, M, ...)."""
    return values[torch.arange(index.shape[0], device=index.device)[:, None], index]


def blank(values: Tensor, count: Tensor) -> Tensor:
    """Sets each image's entries from its count (B,) on to 0, in (B, M, ...)."""
    present = torch.arange(values.shape[1], device=values.device) < count[:, None]
    return torch.where(present[(..., *[None] * (values.dim() - 2))], values, 0)


class FixedMatrixNMS:
    """Matrix NMS of whole batches in plain operations; see :func:`solo_d2.ops.matrix_nms`."""

    def __init__(self, postprocess: Any, node: str):
        """
        Args:
            postprocess: A method's settings ``nms_type``, ``nms_kernel``, ``nms_sigma`` and ``update_thr``.
            node: Name of their config node.

        Raises:
            InputError: If the NMS is another one.
        """
        if postprocess.nms_type != "matrix":
            raise InputError(
                f"{node}.NMS_TYPE {postprocess.nms_type} has no form of fixed shapes: "
                f"set {node}.NMS_TYPE matrix"
            )
        self.kernel = postprocess.nms_kernel
        self.sigma = postprocess.nms_sigma
        self.least = postprocess.update_thr

    def __call__(
        self, inside: Tensor, classes: Tensor, scores: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Lowers the scores of candidates that overlap better ones of their class.

        Args:
            inside: (B, N, h, w) float of zeros and ones, fewer than 2^24 pixels each.
            classes: (B, N) int64.
            scores: (B, N), in any order.
            valid: (B, N) bool, the candidates that take part.

        Returns:
            (B, N) scores, and (B, N) bool: the valid ones whose scores suffice.
        """
        distance = self._distance(inside, classes, torch.where(valid, scores, _ABSENT))
        gap = distance.amin(1)[..., None]
        if self.kernel == "gaussian":
            decay = torch.exp(-self.sigma * ((1 - distance) ** 2 - (1 - gap) ** 2).amax(1))
        else:
            decay = torch.where(distance == 0, 0, distance / gap).amin(1)
        scores = scores * decay.clamp(max=1)
        return scores, valid & (scores >= self.least)

    def _distance(self, inside: Tensor, classes: Tensor, scores: Tensor) -> Tensor:
        """Returns 1 - IoU where row i may suppress column j: (B, N, N) float32, 1 elsewhere."""
        pixels = inside.flatten(2)
        intersection = pixels @ pixels.transpose(1, 2)
        area = pixels.sum(2)
        union = area[:, :, None] + area[:, None] - intersection
        place = torch.arange(inside.shape[1], device=inside.device)
        here, there = scores[:, :, None], scores[:, None]
        better = (here > there) | ((here == there) & (place[:, None] < place))
        related = better & (union > 0) & (classes[:, :, None] == classes[:, None])
        return torch.where(related, (union - intersection) / union.clamp(min=1), 1.0)
