"""Configs and models by name."""

import torch

from detectron2.config import CfgNode
from detectron2.modeling import build_model
from solo_d2.config.loading import config_file, load_config
from solo_d2.engine.weights import build_checkpointer
from solo_d2.utils.device import available_device

from .catalogue import load_catalogue


def get_config(name: str) -> CfgNode:
    """The config of a published model or of a training recipe; see :func:`config_file`.

    MODEL.WEIGHTS of a published model is its own file, fetched on first use.
    """
    return load_config(config_file(name))


def get(name: str, pretrained: bool = True, device: str | torch.device | None = None) -> torch.nn.Module:
    """Builds a model.

    Args:
        name: a published model, also as its config's path; with ``pretrained`` False any config, see
            :func:`config_file`.
        pretrained: load the published weights, all of them; otherwise random ones.
        device: where to; the first GPU, or the CPU without one, where None.

    Returns:
        The model in evaluation mode.

    Raises:
        InputError: an unknown name, or a file that cannot be fetched.
    """
    cfg = get_config(name)
    published = load_catalogue().find(name.removeprefix("zoo/").removesuffix(".yaml")) if pretrained else None
    cfg.MODEL.DEVICE = str(device or available_device("cuda"))
    model = build_model(cfg).eval()
    if published:
        build_checkpointer(cfg, model, exact=True).load(published.address)
    return model
