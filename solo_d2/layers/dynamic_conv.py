"""Dynamic convolution: kernels that were themselves predicted (SOLOv2 paper, section 2.1.3)."""

from torch import Tensor


def dynamic_conv(features: Tensor, kernels: Tensor) -> Tensor:
    """Applies predicted 1x1 kernels to one image's mask feature.

    Args:
        features: (E, H, W).
        kernels: (P, E).

    Returns:
        (P, H, W) logits.
    """
    return (kernels @ features.flatten(1)).unflatten(1, features.shape[1:])
