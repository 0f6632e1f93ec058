"""SOLOv2 (Wang et al., NeurIPS 2020): instances as dynamic convolutions of a mask feature.

B: images; K: cells per image; C: classes; E: mask feature channels.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from solo_d2.methods.grid.cell_masks import LevelMasks, UnifiedMasks, dynamic_conv_batch
from solo_d2.methods.grid.model import GridSegmenter, flatten_cells
from solo_d2.utils.errors import InputError

from .config import SOLOV2_WEIGHT_KEYS
from .head import MaskFeatureHead, SeparateMaskFeatures, SOLOv2Head

# Input pixels per mask feature pixel: the mask feature has the finest pyramid level's size.
MASK_STRIDE = 4


@META_ARCH_REGISTRY.register()
class SOLOv2(GridSegmenter):
    """Category and kernel per grid cell; masks are the kernels applied to a unified mask feature."""

    config_node = "SOLOV2"
    weight_keys = SOLOV2_WEIGHT_KEYS
    share_cells = True

    @configurable
    def __init__(
        self,
        *,
        mask_head: nn.Module,
        mask_in_features: Sequence[str],
        kernel_size: int = 1,
        **kwargs,
    ):
        """
        Args:
            mask_head: Features to the mask feature, or to a list of them, one per level of the head.
            mask_in_features: Backbone outputs the mask head reads, finest (stride 4) first.
            kernel_size: Side of the dynamic kernels.
            **kwargs: Of :class:`GridSegmenter`.
        """
        super().__init__(**kwargs)
        self.mask_head = mask_head
        self.mask_in_features = list(mask_in_features)
        self.kernel_size = kernel_size
        self.to_channels_last()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        node = cfg.MODEL.SOLOV2
        if node.KERNEL_SIZE % 2 == 0:
            raise InputError(f"MODEL.SOLOV2.KERNEL_SIZE must be odd (1 or 3), not {node.KERNEL_SIZE}.")
        arguments = cls.grid_from_config(cfg, MASK_STRIDE)
        shapes = arguments["backbone"].output_shape()
        head = cls.head_arguments_from_config(cfg, shapes[node.INSTANCE_IN_FEATURES[0]].channels)
        kernel_channels = node.NUM_MASKS * node.KERNEL_SIZE**2
        unified = node.MASK_FEATURE == "unified"
        mask_in_features = node.MASK_IN_FEATURES if unified else node.INSTANCE_IN_FEATURES
        return arguments | {
            "head": SOLOv2Head(kernel_channels=kernel_channels, coordinates=node.KERNEL_COORDINATES, **head),
            "mask_head": cls._mask_head_from_config(cfg, shapes[mask_in_features[0]].channels),
            "mask_in_features": mask_in_features,
            "kernel_size": node.KERNEL_SIZE,
        }

    @classmethod
    def _mask_head_from_config(cls, cfg: CfgNode, in_channels: int) -> nn.Module:
        node = cfg.MODEL.SOLOV2
        common = {
            "in_channels": in_channels,
            "channels": node.MASK_CHANNELS,
            "out_channels": node.NUM_MASKS,
            "norm": node.NORM,
            "coordinates": node.MASK_COORDINATES,
        }
        if node.MASK_FEATURE == "unified":
            dcn_type = node.TYPE_DCN if node.USE_DCN_IN_MASK else ""
            return MaskFeatureHead(num_levels=len(node.MASK_IN_FEATURES), dcn_type=dcn_type, **common)
        if node.MASK_FEATURE == "separate":
            return SeparateMaskFeatures(num_convs=node.NUM_MASK_CONVS, **common)
        raise InputError(
            f"MODEL.SOLOV2.MASK_FEATURE must be 'unified' or 'separate', not '{node.MASK_FEATURE}'."
        )

    @property
    def read_features(self) -> set[str]:
        """Backbone outputs that the heads read."""
        return {*self.in_features, *self.mask_in_features}

    def predict(self, features: dict[str, Tensor]) -> tuple[list[Tensor], UnifiedMasks | LevelMasks]:
        """Runs both heads; see :meth:`GridSegmenter.predict`."""
        category_logits, kernels = self.head([features[f] for f in self.in_features])
        mask_features = self.mask_head([features[f] for f in self.mask_in_features])
        if isinstance(mask_features, Tensor):
            kernels = flatten_cells(kernels)
            return category_logits, UnifiedMasks(kernels, mask_features, self.kernel_size, MASK_STRIDE)
        return category_logits, self._separate_masks(kernels, mask_features)

    def _separate_masks(self, kernels: Sequence[Tensor], mask_features: Sequence[Tensor]) -> LevelMasks:
        """Pairs each level's kernels, (B, D, S, S), with its own mask feature, (B, E, h_l, w_l)."""
        kernels = [flatten_cells([level]) for level in kernels]

        def logits(level: int, images: Tensor, cells: Tensor) -> tuple[Tensor]:
            chosen = kernels[level][images, cells].float()
            return (dynamic_conv_batch(mask_features[level].float(), chosen, images, self.kernel_size),)

        return LevelMasks(self.layout, [tuple(x.shape[-2:]) for x in mask_features], logits)
