"""FreeSOLO (Wang et al., CVPR 2022): SOLOv2 that learns from coarse masks of unlabeled images.

B: images; K: cells per image; C: classes; P: positive masks; D: numbers of an embedding; h, w: mask size.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import ImageList, Instances
from detectron2.utils.events import get_event_storage, has_event_storage
from solo_d2.methods.grid.cell_masks import UnifiedMasks
from solo_d2.methods.grid.layout import GridTargets
from solo_d2.methods.grid.model import flatten_cells
from solo_d2.methods.solov2.head import SeparateMaskFeatures
from solo_d2.methods.solov2.model import MASK_STRIDE, SOLOv2
from solo_d2.utils.errors import InputError

from .config import FREESOLO_WEIGHT_KEYS
from .losses import WeakMaskLoss, embedding_loss
from .targets import find_similar_pairs

# Under this name the result of :func:`find_similar_pairs` is beside the backbone's outputs.
_PAIRS = "similar_pairs"


@META_ARCH_REGISTRY.register()
class FreeSOLO(SOLOv2):
    """SOLOv2 with weak mask losses and a semantic embedding for every cell (section 6.2.3).

    Ground truth may have ``gt_embeddings`` (n, D), zeros where an instance has none; results have
    ``pred_embeddings`` (n, D).
    """

    weight_keys = FREESOLO_WEIGHT_KEYS
    # Fine-tuning leaves the embedding out.
    weight_parts = ("head.embedding_predictor",)

    @configurable
    def __init__(
        self,
        *,
        weak_mask_loss: WeakMaskLoss,
        full_mask_loss: bool = False,
        embedding_weight: float = 4.0,
        color_thr: float = 0.3,
        warmup_iters: int = 1000,
        bottom_pixels_removed: int = 10,
        input_format: str = "BGR",
        **kwargs,
    ):
        """
        Args:
            weak_mask_loss: Projections and pairwise affinity.
            full_mask_loss: Whether the mask loss of ``loss`` is added.
            embedding_weight: Weight of the embedding loss; 0: none is computed, none is read.
            color_thr: Similarity of colors from which on two pixels should be on one side of a mask.
            warmup_iters: Training steps in which the pairwise loss's weight grows linearly from 0.
            bottom_pixels_removed: Lowest rows of the original images whose colors do not count.
            input_format: "RGB" or "BGR", the channel order of the images.
            **kwargs: Of :class:`SOLOv2`; its head predicts embeddings.

        Raises:
            InputError: If no mask loss is on, the masks are not predicted from one unified feature, or the
                similarity of colors is outside (0, 1].
        """
        super().__init__(**kwargs)
        if not (weak_mask_loss.enabled or full_mask_loss):
            raise InputError(
                "MODEL.FREESOLO: all mask losses have weight 0; give one a weight, or set FULL_MASK_LOSS True"
            )
        if isinstance(self.mask_head, SeparateMaskFeatures):
            raise InputError("FreeSOLO needs MODEL.SOLOV2.MASK_FEATURE 'unified'.")
        if not 0 < color_thr <= 1:
            raise InputError(
                f"MODEL.FREESOLO.PAIRWISE_COLOR_THR must be above 0 and at most 1, not {color_thr}; "
                "MODEL.FREESOLO.PAIRWISE_WEIGHT 0 turns the pairwise loss off"
            )
        self.weak_mask_loss = weak_mask_loss
        self.full_mask_loss = full_mask_loss
        self.embedding_weight = embedding_weight
        self.color_thr = color_thr
        self.warmup_iters = warmup_iters
        self.bottom_pixels_removed = bottom_pixels_removed
        self.input_format = input_format

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        node = cfg.MODEL.FREESOLO
        return super().from_config(cfg) | {
            "weak_mask_loss": WeakMaskLoss(
                max_projection_weight=node.MAX_PROJECTION_WEIGHT,
                average_projection_weight=node.AVERAGE_PROJECTION_WEIGHT,
                pairwise_weight=node.PAIRWISE_WEIGHT,
                pairwise_dilation=node.PAIRWISE_DILATION,
            ),
            "full_mask_loss": node.FULL_MASK_LOSS,
            "embedding_weight": node.EMBEDDING_WEIGHT,
            "color_thr": node.PAIRWISE_COLOR_THR,
            "warmup_iters": node.PAIRWISE_WARMUP_ITERS,
            "bottom_pixels_removed": node.BOTTOM_PIXELS_REMOVED,
            "input_format": cfg.INPUT.FORMAT,
        }

    @classmethod
    def head_arguments_from_config(cls, cfg: CfgNode, in_channels: int) -> dict[str, Any]:
        """Adds the embedding branch to those of :class:`SOLOv2`."""
        arguments = super().head_arguments_from_config(cfg, in_channels)
        return arguments | {"num_embeddings": cfg.MODEL.FREESOLO.NUM_EMBEDDINGS}

    @property
    def read_features(self) -> set[str]:
        """Maps that the heads and losses read."""
        return {*super().read_features, _PAIRS}

    def extract_features(self, images: ImageList, batched_inputs: list[dict]) -> dict[str, Tensor]:
        """Adds, in training, which neighboring pixels have one color."""
        features = super().extract_features(images, batched_inputs)
        if self.training and self.weak_mask_loss.pairwise_weight:
            features[_PAIRS] = self._similar_pairs(images, batched_inputs)
        return features

    def _similar_pairs(self, images: ImageList, batched_inputs: list[dict]) -> Tensor:
        """Runs :func:`find_similar_pairs` on the network input without padding and lowest rows."""
        pixels = images.tensor * self.pixel_std + self.pixel_mean
        if self.input_format == "BGR":
            pixels = pixels.flip(1)
        removed = self.bottom_pixels_removed
        heights = [
            height - removed * height // x.get("height", height)
            for x, (height, _) in zip(batched_inputs, images.image_sizes, strict=True)
        ]
        return find_similar_pairs(
            pixels,
            heights,
            [width for _, width in images.image_sizes],
            stride=MASK_STRIDE,
            dilation=self.weak_mask_loss.pairwise_dilation,
            threshold=self.color_thr,
        )

    def predict(self, features: dict[str, Tensor]) -> tuple[list[Tensor], UnifiedMasks]:
        """As :meth:`SOLOv2.predict`; the cells' values are ``pred_embeddings`` (B, K, D)."""
        maps, masks = super().predict(features)
        pairs = [level.split((self.num_classes, self.head.num_embeddings), dim=1) for level in maps]
        masks.cell_values["pred_embeddings"] = flatten_cells([embeddings for _, embeddings in pairs]).float()
        return [logits for logits, _ in pairs], masks

    def mask_losses(
        self,
        masks: UnifiedMasks,
        targets: GridTargets,
        features: dict[str, Tensor],
        instances: Sequence[Instances],
    ) -> dict[str, Tensor]:
        """Returns the mask losses that are on and "loss_embedding"; see :meth:`GridSegmenter.mask_losses`."""
        (prediction,) = masks.positives(targets)
        losses = {}
        if self.full_mask_loss:
            losses["loss_mask"] = self.loss.masks([prediction], targets)
        if self.weak_mask_loss.enabled:
            losses |= self.weak_mask_loss(
                prediction,
                self.loss.mask_count(targets),
                targets.positive_cell // self.layout.num_cells,
                features.get(_PAIRS),
                self._warmup(),
            )
        losses["loss_embedding"] = self._embedding_loss(masks, targets, instances)
        return losses

    def _embedding_loss(
        self, masks: UnifiedMasks, targets: GridTargets, instances: Sequence[Instances]
    ) -> Tensor:
        """The weighted loss, a scalar; with weight 0 it reads no embeddings.

        The branch has gradients even then: distributed training waits for those of all parameters.
        """
        embeddings = masks.cell_values["pred_embeddings"].flatten(0, 1)
        if not self.embedding_weight:
            return embeddings[:0].sum()
        wanted = self._gather_embeddings(instances)[targets.positive_instance]
        return self.embedding_weight * embedding_loss(embeddings[targets.positive_cell], wanted)

    def _warmup(self) -> float:
        """The pairwise loss's factor at the training's iteration, resumed or not; 1 outside a training."""
        if not has_event_storage():
            return 1.0
        return min((get_event_storage().iter + 1) / max(self.warmup_iters, 1), 1.0)

    def _gather_embeddings(self, instances: Sequence[Instances]) -> Tensor:
        """Joins a batch's embeddings, (N, D); zeros where there are none.

        Raises:
            InputError: If they have another length than the model's.
        """
        length = self.head.num_embeddings
        found = []
        for image in instances:
            if not image.has("gt_embeddings"):
                found.append(torch.zeros(len(image), length, device=self.device))
                continue
            if image.gt_embeddings.shape[1] != length:
                raise InputError(
                    f"The annotations' embeddings have {image.gt_embeddings.shape[1]} numbers, the model's "
                    f"{length}: set MODEL.FREESOLO.NUM_EMBEDDINGS {image.gt_embeddings.shape[1]}"
                )
            found.append(image.gt_embeddings)
        return torch.cat(found)
