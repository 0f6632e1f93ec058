"""Configs and models by name."""

import torch

from detectron2.config import CfgNode
from detectron2.modeling import build_model
from solo_d2.config.loading import config_file, load_config
from solo_d2.engine.weights import build_checkpointer
from solo_d2.utils.device import choose_device

from .catalogue import load_catalogue


def get_config(name: str) -> CfgNode:
    """Returns the config of a published model or of a training recipe; see :func:`config_file`.

    MODEL.WEIGHTS of a published model is its file, downloaded on first use.
    """
    return load_config(config_file(name))


def get(name: str, pretrained: bool = True, device: str | torch.device | None = None) -> torch.nn.Module:
    """Builds a model.

    Args:
        name: A published model, or its config's path; with ``pretrained`` False any config, see
            :func:`config_file`.
        pretrained: Whether to load all published weights; otherwise the weights are random.
        device: Device of the model; None for the first GPU, or the CPU without one.

    Returns:
        The model in evaluation mode.

    Raises:
        InputError: If the name is unknown or the file cannot be downloaded.
    """
    cfg = get_config(name)
    published = load_catalogue().find(name.removeprefix("zoo/").removesuffix(".yaml")) if pretrained else None
    cfg.MODEL.DEVICE = choose_device(device, "cuda")
    model = build_model(cfg).eval()
    if published:
        build_checkpointer(cfg, model, exact=True).load(published.address)
    return model
