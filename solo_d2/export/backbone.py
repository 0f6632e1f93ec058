"""Exports a pre-trained backbone for ``MODEL.WEIGHTS`` of any Detectron2 model.

The file has the names of Detectron2's converted ResNets (``stem.conv1.weight``, ...).
It asks Detectron2 to match names by their ends, so it fits both a plain ResNet and one below an FPN.
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
# Prefixes of models' ResNets, the longer first.
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
    """Returns a model's ResNet weights under their plain names, without batch counters.

    Args:
        model_weights: State dict of a model with a ResNet, alone, below an FPN, or in DenseCL.

    Raises:
        InputError: If the model has no ResNet.
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
    """The config keys that give a ResNet's weights their meaning.

    Attributes:
        architecture: Keys of ``MODEL.RESNETS`` and their values.
        channels: Order of the image's channels, "RGB" or "BGR".
        mean: Mean that is subtracted per channel.
        std: Standard deviation that each channel is divided by.
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
    """Adapts a backbone to another config's images, with the same results.

    The first convolution absorbs the differences: the order of the channels and the division by
    ``PIXEL_STD``. The result is exact, also at the borders.

    Args:
        weights: Result of :func:`backbone_weights`; not changed.
        trained: Config the backbone was trained with.
        target: Config to adapt it to.

    Raises:
        InputError: If the configs build different ResNets or subtract different means.
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
    """Returns the content of a checkpoint whose names Detectron2 matches by their ends.

    Args:
        weights: Result of :func:`backbone_weights` or :func:`fit_to_config`.
        preprocessing: Preprocessing that the weights expect, None for unknown. This project's checkpointer
            reports a config that differs. Test sizes are omitted, because they do not concern the backbone.
    """
    expected = replace(preprocessing or Preprocessing(), short_side=None, long_side=None).as_dict()
    return {
        "model": weights,
        "matching_heuristics": True,
        "__author__": "solo_d2",
        PREPROCESSING_KEY: expected,
    }
