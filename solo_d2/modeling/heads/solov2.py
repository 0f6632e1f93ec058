"""SOLOv2's category and kernel branches (SOLOv2 paper, section 2.1.1).

B: batch; C: classes; D: numbers in a kernel; S: cells per side of a level.
"""

import torch
from torch import Tensor

from detectron2.layers import Conv2d
from solo_d2.layers import coordinate_channels, init_conv, resize

from .grid_head import GridHead


class SOLOv2Head(GridHead):
    """Predicts class logits and a dynamic convolution kernel for every grid cell."""

    def __init__(
        self,
        *,
        in_channels: int,
        channels: int = 512,
        num_convs: int = 4,
        kernel_channels: int = 256,
        coordinates: bool = True,
        num_embeddings: int = 0,
        **kwargs,
    ):
        """
        Args:
            in_channels: Channels of every pyramid level.
            channels: Width of both towers.
            num_convs: Depth of both towers.
            kernel_channels: D, mask feature channels times the kernel's area.
            coordinates: Whether the kernel branch sees them.
            num_embeddings: Numbers of each cell's semantic embedding, which a convolution beside the category
                branch's last one predicts (FreeSOLO, section 6.2.3); 0 for none.
            **kwargs: Of :class:`GridHead`.
        """
        towers = {"kernel_tower": {"in_channels": in_channels + 2 * coordinates}}
        super().__init__(
            in_channels=in_channels, channels=channels, num_convs=num_convs, towers=towers, **kwargs
        )
        self.coordinates = coordinates
        if num_embeddings:
            self.embedding_predictor = init_conv(Conv2d(channels, num_embeddings, 3, padding=1))
        self.num_embeddings = num_embeddings
        self.kernel_predictor = init_conv(Conv2d(channels, kernel_channels, 3, padding=1))

    def category_branch(self, cells: Tensor) -> Tensor:
        """Returns (B, C + num_embeddings, S, S): category logits, then the embedding."""
        x = self.category_tower(cells)
        logits = self.category_predictor(x)
        return torch.cat([logits, self.embedding_predictor(x)], dim=1) if self.num_embeddings else logits

    def mask_branch(self, feature: Tensor, cells: Tensor, level: int) -> Tensor:
        """Returns one level's kernels, (B, D, S, S). The kernel branch always interpolates."""
        size = tuple(cells.shape[-2:])
        if self.alignment != "interpolate":
            cells = resize(feature, size)
        if self.coordinates:
            cells = torch.cat([cells, resize(coordinate_channels(feature), size)], dim=1)
        return self.kernel_predictor(self.kernel_tower(cells))
