"""Exports a pre-trained backbone for ``MODEL.WEIGHTS`` of any Detectron2 model.

The file has the names of Detectron2's converted ResNets (``stem.conv1.weight``, ...).
It asks Detectron2 to match names by their ends, so it fits both a plain ResNet and one below an FPN.
"""

from collections.abc import Mapping
from dataclasses import replace

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


def resnet_from_config(cfg: CfgNode) -> dict[str, object]:
    """Returns the keys of ``MODEL.RESNETS`` that give a ResNet's weights their meaning, with their values."""
    settings = {key: cfg.MODEL.RESNETS[key] for key in _ARCHITECTURE}
    return {**settings, "STRIDE_IN_1X1": preprocessing_of(cfg).stride_in_1x1}


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
    theirs = resnet_from_config(target)
    for key, value in resnet_from_config(trained).items():
        other = theirs[key]
        if value != other:
            raise InputError(
                f"MODEL.RESNETS.{key} is {value} in the pre-training and {other} in the other config: "
                "these weights do not mean the same there; make them equal"
            )
    had, wants = preprocessing_of(trained), preprocessing_of(target)
    order = [0, 1, 2] if had.channels == wants.channels else [2, 1, 0]
    mean, std = (torch.tensor(values)[order] for values in (had.mean, had.std))
    wanted = torch.tensor(wants.mean)
    if not torch.allclose(mean, wanted):
        there, here = ([round(value, 4) for value in each.tolist()] for each in (wanted, mean))
        raise InputError(
            f"MODEL.PIXEL_MEAN {there} of the other config is not the pre-training's {here} (in its order "
            "of channels): make them equal"
        )
    factor = torch.tensor(wants.std) / std
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
