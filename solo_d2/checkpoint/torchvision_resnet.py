"""torchvision's ResNet weights in Detectron2's names: ImageNet backbones for the R18 and R34 configs."""

import re

from torch import Tensor

PREFIX = "backbone.bottom_up."
_RULES = (
    (r"^conv1\.", "stem.conv1."),
    (r"^bn1\.", "stem.conv1.norm."),
    (r"^layer(\d)\.", lambda match: f"res{int(match.group(1)) + 1}."),
    (r"\.bn(\d)\.", r".conv\1.norm."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
)


def is_torchvision_resnet(weights: dict) -> bool:
    """Whether a state dict has the names of torchvision's ResNets."""
    return "conv1.weight" in weights and "layer1.0.conv1.weight" in weights


def to_native(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renames a torchvision ResNet's weights to those of a Detectron2 ResNet-FPN's bottom-up network.

    Args:
        weights: state dict in torchvision's layout.

    Returns:
        The same tensors under names that begin with ``backbone.bottom_up.``; the classifier and the
        counters of batch normalisation are left out.
    """
    native = {}
    for name, value in weights.items():
        if name.startswith("fc.") or name.endswith("num_batches_tracked"):
            continue
        for pattern, replacement in _RULES:
            name = re.sub(pattern, replacement, name)
        native[PREFIX + name] = value
    return native
