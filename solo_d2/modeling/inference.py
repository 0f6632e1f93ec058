"""Preparation of a trained model for inference: number format, folded norms, compilation."""

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from detectron2.layers import FrozenBatchNorm2d
from solo_d2.utils.errors import InputError

_DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def prepare_for_inference(model: nn.Module, precision: str, fold_norm: bool, compile: bool) -> nn.Module:
    """Changes a model in place; call it once, after the weights are loaded, and do not train it further.

    Args:
        model: Model in evaluation mode, on its device.
        precision: "fp32", or "bf16" or "fp16" for autocast around the network. Scores and masks stay float32.
        fold_norm: Whether to fold batch norms into their convolutions, see :func:`fold_norms`.
        compile: Whether to compile the model's parts with ``torch.compile`` at their first use.

    Returns:
        The model.

    Raises:
        InputError: If ``precision`` is unknown.
    """
    if precision not in _DTYPES:
        raise InputError(f"precision must be one of {', '.join(_DTYPES)}, not {precision!r}")
    dtype = _DTYPES[precision]
    if fold_norm:
        fold_norms(model)
    if compile:
        for part in model.children():
            part.compile()
    if dtype is not None:
        device = next(model.parameters()).device.type
        model.forward = torch.autocast(device, dtype)(model.forward)  # type: ignore[method-assign]
    return model


def fold_norms(model: nn.Module) -> int:
    """Folds batch norms into the convolutions that own them, in place; returns their number.

    Results change by rounding only. Deformable convolutions and norms of batch statistics are left as they
    are.
    """
    folded = 0
    for conv in model.modules():
        norm: Any = getattr(conv, "norm", None)
        if isinstance(conv, nn.Conv2d) and _has_statistics(norm):
            statistics = norm.running_mean, norm.running_var, norm.eps
            fused = fuse_conv_bn_weights(conv.weight, conv.bias, *statistics, norm.weight, norm.bias)
            conv.weight, conv.bias = fused
            setattr(conv, "norm", None)  # noqa: B010  (mypy knows no such attribute of nn.Conv2d)
            folded += 1
    return folded


def _has_statistics(norm: Any) -> bool:
    return isinstance(norm, FrozenBatchNorm2d | _BatchNorm) and norm.running_mean is not None
