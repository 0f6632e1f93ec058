"""The registry of whole models."""

import torch
from torch import nn

from detectron2.config import CfgNode
from detectron2.utils.registry import Registry

META_ARCH_REGISTRY = Registry("META_ARCH")
META_ARCH_REGISTRY.__doc__ = """
Whole models: each takes ``cfg`` and returns an ``nn.Module`` that maps ``list[dict]`` to a dict of
losses in training and to ``list[dict]`` in inference.
"""


def build_model(cfg: CfgNode) -> nn.Module:
    """Builds the model ``cfg.MODEL.META_ARCHITECTURE`` on ``cfg.MODEL.DEVICE``, without loading weights."""
    model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)
    return model.to(torch.device(cfg.MODEL.DEVICE))
