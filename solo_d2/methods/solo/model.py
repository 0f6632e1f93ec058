"""SOLO (Wang et al., ECCV 2020): a mask channel for every grid cell."""

from typing import ClassVar, cast

from torch import Tensor

from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY
from solo_d2.methods.grid.cell_masks import LevelMasks
from solo_d2.methods.grid.head import GridHead
from solo_d2.methods.grid.model import GridSegmenter

from .config import SOLO_WEIGHT_KEYS
from .head import DecoupledSOLOHead, SOLOHead


@META_ARCH_REGISTRY.register()
class SOLO(GridSegmenter):
    """Predicts a category and a mask channel per grid cell."""

    config_node = "SOLO"
    weight_keys = SOLO_WEIGHT_KEYS
    head_type: ClassVar[type[GridHead]] = SOLOHead

    @configurable
    def __init__(self, **kwargs):
        """
        Args:
            **kwargs: Arguments of :class:`GridSegmenter`.
        """
        super().__init__(**kwargs)
        self.to_channels_last()

    def predict(self, features: dict[str, Tensor]) -> tuple[list[Tensor], LevelMasks]:
        """Runs the head; see :meth:`GridSegmenter.predict`.

        Training computes all channels, as published; inference computes only those of the candidates.
        """
        head = cast(SOLOHead, self.head)
        category_logits, mask_features = head([features[f] for f in self.instance_in_features])
        if self.training:
            maps = [head.mask_logits(x, level) for level, x in enumerate(mask_features)]

        def logits(level: int, images: Tensor, cells: Tensor) -> tuple[Tensor]:
            if self.training:
                return (maps[level][images, cells],)
            return (head.cell_mask_logits(mask_features[level], level, images, cells),)

        return category_logits, LevelMasks(self.layout, [tuple(x.shape[-2:]) for x in mask_features], logits)


@META_ARCH_REGISTRY.register()
class DecoupledSOLO(SOLO):
    """Predicts a category per cell and a mask per grid column and row; a cell's mask is their product."""

    head_type: ClassVar[type[GridHead]] = DecoupledSOLOHead

    def predict(self, features: dict[str, Tensor]) -> tuple[list[Tensor], LevelMasks]:
        """Runs the head; see :meth:`GridSegmenter.predict`."""
        category_logits, axes = self.head([features[f] for f in self.instance_in_features])

        def logits(level: int, images: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
            x, y = axes[level]
            grid = self.layout.num_grids[level]
            return x[images, cells % grid], y[images, cells // grid]

        return category_logits, LevelMasks(self.layout, [tuple(x.shape[-2:]) for x, _ in axes], logits)
