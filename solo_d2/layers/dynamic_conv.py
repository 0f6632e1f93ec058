"""Dynamic convolution: kernels that were themselves predicted (SOLOv2 paper, section 2.1.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def dynamic_conv(features: Tensor, kernels: Tensor, kernel_size: int = 1) -> Tensor:
    """Applies predicted kernels to one image's mask feature.

    Args:
        features: (E, H, W).
        kernels: (P, E * kernel_size^2), each an (E, kernel_size, kernel_size) kernel.
        kernel_size: Odd side of the kernels; borders are padded with zeros.

    Returns:
        (P, H, W) logits.
    """
    if kernel_size > 1 and not len(kernels):  # which conv2d refuses; the result still depends on both
        return kernels.sum(1)[:, None, None] * features.sum(0)
    if kernel_size > 1:
        weight = kernels.view(len(kernels), len(features), kernel_size, kernel_size)
        return F.conv2d(features[None], weight, padding=kernel_size // 2)[0]
    return (kernels @ features.flatten(1)).unflatten(1, features.shape[1:])


def dynamic_conv_batch(features: Tensor, kernels: Tensor, images: Tensor, kernel_size: int = 1) -> Tensor:
    """Applies predicted kernels to the mask features of their images.

    Args:
        features: (B, E, H, W).
        kernels: (P, E * kernel_size^2).
        images: (P,) int64 in [0, B), ascending: the image of each kernel.
        kernel_size: As in :func:`dynamic_conv`.

    Returns:
        (P, H, W) logits.
    """
    counts = torch.bincount(images, minlength=len(features)).tolist()
    pairs = zip(features, kernels.split(counts), strict=True)
    return torch.cat([dynamic_conv(feature, kernel, kernel_size) for feature, kernel in pairs])
