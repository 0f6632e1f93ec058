"""A pre-trained backbone as a file that any Detectron2 model starts from (``MODEL.WEIGHTS``).

The file has the names of Detectron2's converted ResNets (``stem.conv1.weight``, ...).
It asks to be matched by the ends of names, so that it fits both a plain ResNet and one below an FPN.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from detectron2.config import CfgNode
from solo_d2.checkpoint import Preprocessing
from solo_d2.checkpoint.native import PREPROCESSING_KEY
from solo_d2.engine.weights import preprocessing_of
from solo_d2.utils.errors import InputError

STEM = "stem.conv1.weight"
# Where models keep their ResNet, the longer prefix first.
_PREFIXES = ("backbone.bottom_up.", "backbone.", "")
# Keys that must be equal for a ResNet's weights to mean the same.
_ARCHITECTURE = (
    "DEPTH",
    "NUM_GROUPS",
    "WIDTH_PER_GROUP",
    "RES5_DILATION",
    "RES2_OUT_CHANNELS",
    "STEM_OUT_CHANNELS",
)


def backbone_weights(model_weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a model's ResNet weights under their plain names, without counters of batches.

    Args:
        model_weights: State dict of a model with a ResNet, alone, below an FPN, or in DenseCL.

    Raises:
        InputError: If there is no ResNet.
    """
    for prefix in _PREFIXES:
        if prefix + STEM in model_weights:
            return {
                name.removeprefix(prefix): value.detach().clone()
                for name, value in model_weights.items()
                if name.startswith((prefix + "stem.", prefix + "res"))
                and not name.endswith("num_batches_tracked")
            }
    raise InputError(f"there is no ResNet in these weights: none is named backbone.{STEM} or the like")


@dataclass(frozen=True)
class BackboneRecipe:
    """Everything in a config that the meaning of a ResNet's weights depends on.

    Attributes:
        architecture: Keys of ``MODEL.RESNETS`` and their values.
        channels: Order of the image's channels, "RGB" or "BGR".
        mean: Subtracted from each channel.
        std: Divides each channel.
    """

    architecture: Mapping[str, object]
    channels: str
    mean: Tensor
    std: Tensor

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "BackboneRecipe":
        architecture = {key: cfg.MODEL.RESNETS[key] for key in _ARCHITECTURE}
        return cls(
            architecture={**architecture, "STRIDE_IN_1X1": preprocessing_of(cfg).stride_in_1x1},
            channels=cfg.INPUT.FORMAT,
            mean=torch.tensor(cfg.MODEL.PIXEL_MEAN),
            std=torch.tensor(cfg.MODEL.PIXEL_STD),
        )


def fit_to_config(weights: dict[str, Tensor], trained: CfgNode, target: CfgNode) -> dict[str, Tensor]:
    """Makes a backbone compute the same from the images another config feeds it.

    The first convolution takes over what differs: the order of the channels and the division by
    ``PIXEL_STD``. The result is exact, at the borders too.

    Args:
        weights: As of :func:`backbone_weights`; not changed.
        trained: Config the backbone was trained with.
        target: Config it is for.

    Raises:
        InputError: The configs build different ResNets or subtract different means.
    """
    ours, theirs = BackboneRecipe.from_config(trained), BackboneRecipe.from_config(target)
    for key, value in ours.architecture.items():
        other = theirs.architecture[key]
        if value != other:
            raise InputError(
                f"MODEL.RESNETS.{key} is {value} in the pre-training and {other} in the other config: "
                "these weights do not mean the same there; make them equal"
            )
    order = [0, 1, 2] if ours.channels == theirs.channels else [2, 1, 0]
    mean, std = ours.mean[order], ours.std[order]
    if not torch.allclose(mean, theirs.mean):
        there, here = ([round(value, 4) for value in each.tolist()] for each in (theirs.mean, mean))
        raise InputError(
            f"MODEL.PIXEL_MEAN {there} of the other config is not the pre-training's {here} (in its order "
            "of channels): make them equal"
        )
    factor = theirs.std / std
    return weights | {STEM: weights[STEM][:, order] * factor.view(1, -1, 1, 1)}


def as_checkpoint(weights: dict[str, Tensor], preprocessing: Preprocessing | None = None) -> dict:
    """Returns what to save: Detectron2's checkpointers match the names by their ends.

    Args:
        weights: Result of :func:`backbone_weights` or :func:`fit_to_config`.
        preprocessing: What they expect of images, None for unknown. This project's checkpointer reports
            where a config does otherwise. Test sizes are left out: they are not the backbone's.
    """
    expected = replace(preprocessing or Preprocessing(), short_side=None, long_side=None).as_dict()
    return {
        "model": weights,
        "matching_heuristics": True,
        "__author__": "solo_d2",
        PREPROCESSING_KEY: expected,
    }
