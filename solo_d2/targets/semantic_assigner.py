"""Instances to a semantic map: the target of CondInst's auxiliary loss (CondInst paper, section 2.3).

N: instances of an image; h, w: the map's size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .mask_geometry import sample_masks


@torch.no_grad()
def assign_semantic_targets(
    classes: Sequence[Tensor],
    masks: Sequence[Tensor],
    size: tuple[int, int],
    *,
    stride: int,
    num_classes: int,
) -> Tensor:
    """Gives every map pixel the class of the smallest mask that covers it, the first of equals.

    Args:
        classes: Per image (n,) int64.
        masks: Per image (n, H, W) bool at the image's own, unpadded size.
        size: The map's height and width; times ``stride`` it is the padded input.
        stride: Input pixels per map pixel.
        num_classes: The label of background.

    Returns:
        (B, *size) int64.
    """
    return torch.stack(
        [
            _smallest_class(label, mask, size, stride, num_classes)
            for label, mask in zip(classes, masks, strict=True)
        ]
    )


def _smallest_class(
    classes: Tensor, masks: Tensor, size: tuple[int, int], stride: int, num_classes: int
) -> Tensor:
    order = masks.flatten(1).sum(1).argsort(stable=True)
    covered = sample_masks(masks, stride, size)[order]
    nothing = torch.ones(1, *size, dtype=torch.bool, device=classes.device)
    first = torch.cat([covered, nothing]).to(torch.uint8).argmax(0)
    return F.pad(classes[order], (0, 1), value=num_classes)[first]
