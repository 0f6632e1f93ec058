"""Checkpointers that know what a config does to images, and where its keys are."""

import torch

from detectron2.config import CfgNode
from solo_d2.checkpoint import Preprocessing, SoloCheckpointer

from .dataset_checks import method_name


def preprocessing_of(cfg: CfgNode) -> Preprocessing:
    """What a config does to images before the model sees them."""
    return Preprocessing(
        channels=cfg.INPUT.FORMAT,
        mean=tuple(cfg.MODEL.PIXEL_MEAN),
        std=tuple(cfg.MODEL.PIXEL_STD),
        # Basic blocks have no 1x1 convolution that could take the stride.
        stride_in_1x1=cfg.MODEL.RESNETS.STRIDE_IN_1X1 if cfg.MODEL.RESNETS.DEPTH >= 50 else None,
        short_side=cfg.INPUT.MIN_SIZE_TEST,
        long_side=cfg.INPUT.MAX_SIZE_TEST,
    )


def build_checkpointer(
    cfg: CfgNode, model: torch.nn.Module, save_dir: str = "", **kwargs
) -> SoloCheckpointer:
    """The checkpointer of a model built from ``cfg``.

    Args:
        cfg: the model's config.
        model: the model.
        save_dir: folder of the checkpoints; "" where nothing is saved.
        kwargs: further arguments of :class:`SoloCheckpointer`.
    """
    return SoloCheckpointer(
        model,
        save_dir,
        preprocessing=preprocessing_of(cfg),
        group=f"MODEL.{method_name(cfg)}",
        **kwargs,
    )
