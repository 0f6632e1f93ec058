"""SOLOv2 (Wang et al., NeurIPS 2020): masks are dynamic convolutions of a mask feature.

B: images; K: cells per image; C: classes; E: mask feature channels.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from solo_d2.layers import flatten_levels, map_size
from solo_d2.methods.grid.cell_masks import (
    NUM_PLACE_TERMS,
    CellPlaces,
    LevelMasks,
    UnifiedMasks,
    dynamic_conv_batch,
)
from solo_d2.methods.grid.head import GridHead
from solo_d2.methods.grid.model import GridSegmenter
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import build

from .config import SOLOV2_WEIGHT_KEYS
from .head import MaskFeatureHead, SeparateMaskFeatures, SOLOv2Head


@META_ARCH_REGISTRY.register()
class SOLOv2(GridSegmenter):
    """Predicts a category and a kernel per grid cell; a mask is a kernel applied to the mask feature."""

    config_node = "SOLOV2"
    weight_keys = SOLOV2_WEIGHT_KEYS
    head_type: ClassVar[type[GridHead]] = SOLOv2Head
    share_cells = True
    mask_stride = 4  # the mask feature has the finest pyramid level's size

    @configurable
    def __init__(
        self,
        *,
        mask_head: nn.Module,
        mask_in_features: Sequence[str],
        kernel_size: int,
        relative_coordinates: bool,
        **kwargs,
    ):
        """
        Args:
            mask_head: Maps features to the mask feature, or to a list with one per level of the head.
            mask_in_features: Backbone outputs the mask head reads, finest (stride 4) first.
            kernel_size: Side of the dynamic kernels.
            relative_coordinates: Whether masks' logits depend on the distance from their cell.
            **kwargs: Arguments of :class:`GridSegmenter`.
        """
        super().__init__(**kwargs)
        self.mask_head = mask_head
        self.mask_in_features = list(mask_in_features)
        self.kernel_size = kernel_size
        self.relative_coordinates = relative_coordinates
        self.to_channels_last()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Adds the mask feature branch to the common parts of grid models.

        Raises:
            InputError: If MASK_FEATURE is unknown, or not "unified" with RELATIVE_COORDINATES.
        """
        parts = super().from_config(cfg)
        node = cfg.MODEL.SOLOV2
        heads = {"unified": MaskFeatureHead, "separate": SeparateMaskFeatures}
        if node.MASK_FEATURE not in heads:
            raise InputError(
                f"MODEL.SOLOV2.MASK_FEATURE must be 'unified' or 'separate', not '{node.MASK_FEATURE}'."
            )
        unified = node.MASK_FEATURE == "unified"
        if node.RELATIVE_COORDINATES and not unified:
            raise InputError("MODEL.SOLOV2.RELATIVE_COORDINATES needs MODEL.SOLOV2.MASK_FEATURE 'unified'")
        mask_in_features = node.MASK_IN_FEATURES if unified else node.INSTANCE_IN_FEATURES
        mask_head = build(
            heads[node.MASK_FEATURE],
            cfg,
            "MODEL.SOLOV2",
            in_channels=parts["backbone"].output_shape()[mask_in_features[0]].channels,
            **({"num_levels": len(mask_in_features)} if unified else {}),
        )
        return parts | {"mask_head": mask_head, "mask_in_features": mask_in_features}

    @property
    def read_features(self) -> set[str]:
        return {*self.instance_in_features, *self.mask_in_features}

    def predict(self, features: dict[str, Tensor]) -> tuple[list[Tensor], UnifiedMasks | LevelMasks]:
        """Runs both heads; see :meth:`GridSegmenter.predict`."""
        category_logits, kernels = self.head([features[f] for f in self.instance_in_features])
        return category_logits, self.cell_masks(kernels, features)

    def cell_masks(self, kernels: Sequence[Tensor], features: dict[str, Tensor]) -> UnifiedMasks | LevelMasks:
        """Runs the mask head and pairs its mask feature, or one per level, with kernels (B, D, S, S)."""
        mask_features = self.mask_head([features[f] for f in self.mask_in_features])
        if isinstance(mask_features, Tensor):
            numbers, places = flatten_levels(kernels), None
            if self.relative_coordinates:
                numbers, weights = numbers.tensor_split((-NUM_PLACE_TERMS,), dim=2)
                places = CellPlaces(weights, self.layout)
            return UnifiedMasks(numbers, mask_features, self.kernel_size, self.mask_stride, places)
        return self._separate_masks(kernels, mask_features)

    def _separate_masks(self, kernels: Sequence[Tensor], mask_features: Sequence[Tensor]) -> LevelMasks:
        """Pairs each level's kernels, (B, D, S, S), with its own mask feature, (B, E, h_l, w_l)."""
        kernels = [flatten_levels([level]) for level in kernels]

        def logits(level: int, images: Tensor, cells: Tensor) -> tuple[Tensor]:
            chosen = kernels[level][images, cells].float()
            return (dynamic_conv_batch(mask_features[level].float(), chosen, images, self.kernel_size),)

        return LevelMasks(self.layout, [map_size(x) for x in mask_features], logits)
