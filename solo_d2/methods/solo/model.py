"""SOLO (Wang et al., ECCV 2020): a mask channel for every grid cell."""

from torch import Tensor

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from solo_d2.methods.grid.cell_masks import LevelMasks
from solo_d2.methods.grid.head import GridHead
from solo_d2.methods.grid.model import GridSegmenter

from .config import SOLO_WEIGHT_KEYS
from .head import DecoupledSOLOHead, SOLOHead


@META_ARCH_REGISTRY.register()
class SOLO(GridSegmenter):
    """Category and mask channel per grid cell."""

    config_node = "SOLO"
    weight_keys = SOLO_WEIGHT_KEYS

    @configurable
    def __init__(self, **kwargs):
        """
        Args:
            **kwargs: Of :class:`GridSegmenter`.
        """
        super().__init__(**kwargs)
        self.to_channels_last()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        node = cfg.MODEL.SOLO
        arguments = cls.grid_from_config(cfg, mask_stride=node.FPN_INSTANCE_STRIDES[0] // 2)
        in_channels = arguments["backbone"].output_shape()[node.INSTANCE_IN_FEATURES[0]].channels
        return arguments | {"head": cls.head_from_config(cfg, in_channels)}

    @classmethod
    def head_from_config(cls, cfg: CfgNode, in_channels: int) -> GridHead:
        """Builds the head for features of ``in_channels``."""
        arguments = cls.head_arguments_from_config(cfg, in_channels)
        return SOLOHead(num_coord_convs=cfg.MODEL.SOLO.NUM_COORD_CONVS, **arguments)

    def predict(self, features: dict[str, Tensor]) -> tuple[list[Tensor], LevelMasks]:
        """Runs the head; see :meth:`GridSegmenter.predict`.

        When training, all channels are computed, as published; inference computes those of the candidates.
        """
        category_logits, mask_features = self.head([features[f] for f in self.in_features])
        if self.training:
            maps = [self.head.mask_logits(x, level) for level, x in enumerate(mask_features)]

        def logits(level: int, images: Tensor, cells: Tensor) -> tuple[Tensor]:
            if self.training:
                return (maps[level][images, cells],)
            return (self.head.cell_mask_logits(mask_features[level], level, images, cells),)

        return category_logits, LevelMasks(self.layout, [tuple(x.shape[-2:]) for x in mask_features], logits)


@META_ARCH_REGISTRY.register()
class DecoupledSOLO(SOLO):
    """Category per grid cell, mask channels per grid column and row; a cell's mask is their product."""

    @classmethod
    def head_from_config(cls, cfg: CfgNode, in_channels: int) -> GridHead:
        """Builds the head for features of ``in_channels``."""
        node = cfg.MODEL.SOLO
        arguments = cls.head_arguments_from_config(cfg, in_channels)
        return DecoupledSOLOHead(light=node.LIGHT, num_coord_convs=node.NUM_COORD_CONVS, **arguments)

    def predict(self, features: dict[str, Tensor]) -> tuple[list[Tensor], LevelMasks]:
        """Runs the head; see :meth:`GridSegmenter.predict`."""
        category_logits, axes = self.head([features[f] for f in self.in_features])

        def logits(level: int, images: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
            x, y = axes[level]
            grid = self.layout.num_grids[level]
            return x[images, cells % grid], y[images, cells // grid]

        return category_logits, LevelMasks(self.layout, [tuple(x.shape[-2:]) for x, _ in axes], logits)
