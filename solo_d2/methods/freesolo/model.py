"""FreeSOLO (Wang et al., CVPR 2022): SOLOv2 that learns from coarse masks of unlabeled images.

B: images; K: cells per image; C: classes; P: positive masks; D: length of an embedding; h, w: mask size.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Instances
from solo_d2.layers import flatten_levels
from solo_d2.methods.grid.cell_masks import UnifiedMasks
from solo_d2.methods.grid.head import GridHead
from solo_d2.methods.grid.layout import GridTargets
from solo_d2.methods.solov2.model import SOLOv2
from solo_d2.modeling.meta_architecture import training_iteration
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import build

from .config import FREESOLO_WEIGHT_KEYS
from .head import FreeSOLOHead
from .losses import WeakMaskLoss, embedding_loss
from .targets import SimilarPairs


@META_ARCH_REGISTRY.register()
class FreeSOLO(SOLOv2):
    """SOLOv2 with weak mask losses and a semantic embedding for every cell (section 6.2.3).

    Ground truth may have ``gt_embeddings`` (n, D), with zeros for an instance without one; results have
    ``pred_embeddings`` (n, D).
    """

    weight_keys = FREESOLO_WEIGHT_KEYS
    # Fine-tuning does not use the embedding.
    weight_parts = ("head.embedding_predictor",)
    head_type: ClassVar[type[GridHead]] = FreeSOLOHead
    further_nodes = ("MODEL.FREESOLO",)

    @configurable
    def __init__(
        self,
        *,
        weak_mask_loss: WeakMaskLoss,
        similar_pairs: SimilarPairs,
        full_mask_loss: bool,
        embedding_weight: float,
        pairwise_warmup_iters: int,
        **kwargs,
    ):
        """
        Args:
            weak_mask_loss: Projections and pairwise affinity.
            similar_pairs: Finds the neighboring pixels that should share a mask label.
            full_mask_loss: Whether to add the mask loss of ``loss``.
            embedding_weight: Weight of the embedding loss; 0 turns it off, and no embedding is read.
            pairwise_warmup_iters: Training steps in which the pairwise loss's weight grows linearly from 0.
            **kwargs: Arguments of :class:`SOLOv2`; the mask feature must be unified.
        """
        super().__init__(**kwargs)
        self.weak_mask_loss = weak_mask_loss
        self.similar_pairs = similar_pairs
        self.full_mask_loss = full_mask_loss
        self.embedding_weight = embedding_weight
        self.pairwise_warmup_iters = pairwise_warmup_iters

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Adds the weak losses to the parts of :class:`SOLOv2`.

        Raises:
            InputError: If no mask loss is on, or the masks are not predicted from one unified feature.
        """
        weak_mask_loss = build(WeakMaskLoss, cfg, "MODEL.FREESOLO")
        if not (weak_mask_loss.enabled or cfg.MODEL.FREESOLO.FULL_MASK_LOSS):
            raise InputError(
                "MODEL.FREESOLO: all mask losses have weight 0; give one a weight, or set FULL_MASK_LOSS True"
            )
        if cfg.MODEL.SOLOV2.MASK_FEATURE != "unified":
            raise InputError("FreeSOLO needs MODEL.SOLOV2.MASK_FEATURE 'unified'.")
        return super().from_config(cfg) | {
            "weak_mask_loss": weak_mask_loss,
            "similar_pairs": build(SimilarPairs, cfg, "MODEL.FREESOLO", "INPUT"),
        }

    def predict(self, features: dict[str, Tensor]) -> tuple[list[Tensor], UnifiedMasks]:
        """Runs :meth:`SOLOv2.predict`; the cells' values are ``pred_embeddings`` (B, K, D)."""
        cells, kernels = self.head([features[f] for f in self.instance_in_features])
        category_logits, embeddings = (list(maps) for maps in zip(*cells, strict=True))
        values = {"pred_embeddings": flatten_levels(embeddings).float()}
        masks = cast(UnifiedMasks, self.cell_masks(kernels, features))
        return category_logits, replace(masks, cell_values=values)

    def mask_losses(  # type: ignore[override]  # its masks are unified
        self,
        masks: UnifiedMasks,
        targets: GridTargets,
        instances: Sequence[Instances],
        batched_inputs: list[dict],
    ) -> dict[str, Tensor]:
        """Returns the enabled mask losses and "loss_embedding"; see :meth:`GridSegmenter.mask_losses`."""
        (prediction,) = masks.positives(targets)
        losses = {}
        if self.full_mask_loss:
            losses["loss_mask"] = self.loss.masks([prediction], targets)
        if self.weak_mask_loss.enabled:
            losses |= self.weak_mask_loss(
                prediction,
                self.loss.mask_count(targets),
                targets.positive_cell // self.layout.num_cells,
                self._find_pairs(batched_inputs, masks) if self.weak_mask_loss.pairwise_weight else None,
                self._warmup(),
            )
        losses["loss_embedding"] = self._embedding_loss(masks, targets, instances)
        return losses

    def _find_pairs(self, batched_inputs: list[dict], masks: UnifiedMasks) -> Tensor:
        """Runs :class:`SimilarPairs` on the original images, padded with the mean color."""
        size = [masks.stride * side for side in masks.size]
        padding = self.pixel_mean.repeat(len(batched_inputs), 1, *size)
        return self.similar_pairs(batched_inputs, padding, masks.stride)

    def _embedding_loss(
        self, masks: UnifiedMasks, targets: GridTargets, instances: Sequence[Instances]
    ) -> Tensor:
        """Computes the weighted loss, a scalar; with weight 0 it reads no embeddings.

        Even then the branch gets gradients, because distributed training waits for those of all parameters.
        """
        embeddings = masks.cell_values["pred_embeddings"].flatten(0, 1)
        if not self.embedding_weight:
            return embeddings[:0].sum()
        wanted = self._gather_embeddings(instances)[targets.positive_instance]
        return self.embedding_weight * embedding_loss(embeddings[targets.positive_cell], wanted)

    def _warmup(self) -> float:
        """Returns the pairwise loss's factor at the current iteration, resumed or not; 1 outside training."""
        iteration = training_iteration()
        if iteration is None:
            return 1.0
        return min((iteration + 1) / max(self.pairwise_warmup_iters, 1), 1.0)

    def _gather_embeddings(self, instances: Sequence[Instances]) -> Tensor:
        """Joins a batch's embeddings, (N, D); zeros for images without any.

        Raises:
            InputError: If their length is not the model's.
        """
        length = cast(FreeSOLOHead, self.head).num_embeddings
        found = []
        for image in instances:
            if not image.has("gt_embeddings"):
                found.append(torch.zeros(len(image), length, device=self.device))
                continue
            if image.gt_embeddings.shape[1] != length:
                raise InputError(
                    f"the annotations' embeddings have {image.gt_embeddings.shape[1]} numbers, the model's "
                    f"{length}: set MODEL.FREESOLO.NUM_EMBEDDINGS {image.gt_embeddings.shape[1]}"
                )
            found.append(image.gt_embeddings)
        return torch.cat(found)
