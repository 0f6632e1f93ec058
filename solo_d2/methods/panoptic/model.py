"""A semantic branch and a merge for any direct instance segmenter.

SOLOv2 paper, section 3.2 and appendix F; CondInst paper, section 2.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import ImageList
from solo_d2.layers import restore_size
from solo_d2.methods.condinst.model import CondInst
from solo_d2.methods.solov2.model import SOLOv2
from solo_d2.modeling.meta_architecture import DenseSegmenter, WeightKey
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import build

from .head import ConcatSemanticHead, FPNSemanticHead, FusionSemanticHead
from .losses import semantic_cross_entropy
from .postprocess import PanopticMerge


@dataclass(frozen=True)
class SemanticSettings:
    """Inputs and loss of a semantic branch; see Detectron2's ``MODEL.SEM_SEG_HEAD``.

    Attributes:
        in_features: Backbone outputs it reads, finest first.
        common_stride: Network-input pixels per logit.
        loss_weight: Weight of its loss.
        ignore_value: Label of pixels without a class.
    """

    in_features: Sequence[str]
    common_stride: int
    loss_weight: float
    ignore_value: int


class PanopticSegmenter(DenseSegmenter):
    """Mixin that makes the instance segmenter after it in a class's bases panoptic.

    ``class PanopticX(PanopticSegmenter, X)`` is all that a panoptic X needs. Its instance part trains and
    infers as X alone does and has X's config keys; the semantic branch has Detectron2's
    ``MODEL.SEM_SEG_HEAD`` and the merge ``MODEL.PANOPTIC_FPN``.
    """

    weight_keys: ClassVar[tuple[WeightKey, ...]] = (
        WeightKey(
            r"sem_seg_head\.predictor\.",
            "MODEL.SEM_SEG_HEAD.NUM_CLASSES",
            presence="MODEL.SEM_SEG_HEAD.NAME",
            per_class=True,
        ),
        WeightKey(r"sem_seg_head\.", "MODEL.SEM_SEG_HEAD.CONVS_DIM", presence="MODEL.SEM_SEG_HEAD.NAME"),
    )
    is_panoptic = True

    @configurable
    def __init__(
        self,
        *,
        sem_seg_head: nn.Module,
        sem_seg: SemanticSettings,
        instance_loss_weight: float,
        panoptic_merge: PanopticMerge | None,
        **kwargs,
    ):
        """
        Args:
            sem_seg_head: Maps features to class logits; class 0 stands for all things.
            sem_seg: Its inputs and loss.
            instance_loss_weight: Weight of all other losses.
            panoptic_merge: Merges instances and semantic map into a panoptic map; None keeps them separate.
            **kwargs: Arguments of the instance segmenter.
        """
        super().__init__(**kwargs)
        self.sem_seg_head = sem_seg_head
        self.sem_seg = sem_seg
        self.instance_loss_weight = instance_loss_weight
        self.panoptic_merge = panoptic_merge
        self.to_channels_last()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Adds the semantic branch and the merge to the instance segmenter's parts."""
        parts = super().from_config(cfg)  # type: ignore[misc]  # of the instance segmenter that follows
        merge = "MODEL.PANOPTIC_FPN.COMBINE"
        return parts | {
            "sem_seg_head": semantic_head_from_config(cfg, parts["backbone"].output_shape()),
            "sem_seg": build(SemanticSettings, cfg, "MODEL.SEM_SEG_HEAD"),
            "instance_loss_weight": cfg.MODEL.PANOPTIC_FPN.INSTANCE_LOSS_WEIGHT,
            "panoptic_merge": build(PanopticMerge, cfg, merge)
            if cfg.MODEL.PANOPTIC_FPN.COMBINE.ENABLED
            else None,
        }

    @property
    def read_features(self) -> set[str]:
        return {*super().read_features, *self.sem_seg.in_features}

    def training_losses(self, features: dict[str, Tensor], batched_inputs: list[dict]) -> dict[str, Tensor]:
        """Adds "loss_sem_seg" to the instance losses; the inputs also have "sem_seg", (H, W) labels."""
        losses = super().training_losses(features, batched_inputs)
        losses = {name: self.instance_loss_weight * loss for name, loss in losses.items()}
        logits = self.semantic_logits(features)
        labels = self._semantic_labels(batched_inputs)
        with torch.autocast(logits.device.type, enabled=False):
            full = nn.functional.interpolate(
                logits.float(), size=labels.shape[-2:], mode="bilinear", align_corners=False
            )
            loss = semantic_cross_entropy(full, labels, self.sem_seg.ignore_value)
        return {**losses, "loss_sem_seg": self.sem_seg.loss_weight * loss}

    def results(
        self,
        features: dict[str, Tensor],
        image_sizes: Sequence[tuple[int, int]],
        output_sizes: Sequence[tuple[int, int]],
    ) -> list[dict]:
        """Adds "sem_seg", (C, H, W) logits, and "panoptic_seg", see :class:`PanopticMerge`."""
        results = super().results(features, image_sizes, output_sizes)
        logits = self.semantic_logits(features).float()
        for i, result in enumerate(results):
            full = restore_size(
                logits[i : i + 1], image_sizes[i], output_sizes[i], self.sem_seg.common_stride
            )
            result["sem_seg"] = full[0]
            if self.panoptic_merge is not None:
                result["panoptic_seg"] = self.panoptic_merge(result["instances"], full[0].argmax(0))
        return results

    def semantic_logits(self, features: dict[str, Tensor]) -> Tensor:
        """Maps the backbone's outputs to class logits (B, C, h, w), one per ``common_stride`` pixels."""
        return self.sem_seg_head([features[name] for name in self.sem_seg.in_features])

    def _semantic_labels(self, batched_inputs: list[dict]) -> Tensor:
        """Returns the batch's labels (B, H, W) on the padded network input."""
        if any("sem_seg" not in x for x in batched_inputs):
            raise InputError(
                f'{type(self).__name__} needs "sem_seg" maps, which these inputs do not have: train it on a '
                "panoptic data set"
            )
        return ImageList.from_tensors(
            [x["sem_seg"].to(self.device, non_blocking=True) for x in batched_inputs],
            self.backbone.size_divisibility,
            self.sem_seg.ignore_value,
            self.backbone.padding_constraints,
        ).tensor


def semantic_head_from_config(cfg: CfgNode, shapes: dict[str, ShapeSpec]) -> nn.Module:
    """Builds the head that ``MODEL.SEM_SEG_HEAD.NAME`` names.

    Raises:
        InputError: If no head has that name.
    """
    node = cfg.MODEL.SEM_SEG_HEAD
    if node.NAME == "SemSegFPNHead":
        return FPNSemanticHead(cfg, shapes)
    heads = {"FusionSemanticHead": FusionSemanticHead, "ConcatSemanticHead": ConcatSemanticHead}
    if node.NAME in heads:
        in_channels = shapes[node.IN_FEATURES[0]].channels
        num_levels = len(node.IN_FEATURES)
        return build(
            heads[node.NAME], cfg, "MODEL.SEM_SEG_HEAD", in_channels=in_channels, num_levels=num_levels
        )
    raise InputError(
        "MODEL.SEM_SEG_HEAD.NAME must be FusionSemanticHead, ConcatSemanticHead or SemSegFPNHead, "
        f"not {node.NAME!r}"
    )


@META_ARCH_REGISTRY.register()
class PanopticSOLOv2(PanopticSegmenter, SOLOv2):
    """SOLOv2 with a semantic branch."""


@META_ARCH_REGISTRY.register()
class PanopticCondInst(PanopticSegmenter, CondInst):
    """CondInst with a semantic branch."""
