"""The initial weights of a run: loaded by a checkpointer that knows the config, or re-initialized."""

from collections.abc import Sequence

import torch

from detectron2.config import CfgNode
from solo_d2.checkpoint import Checkpointer, Preprocessing
from solo_d2.utils.errors import InputError

# Fields of Preprocessing -> the keys that :func:`preprocessing_of` reads.
_KEYS = {
    "channels": "INPUT.FORMAT",
    "mean": "MODEL.PIXEL_MEAN",
    "std": "MODEL.PIXEL_STD",
    "stride_in_1x1": "MODEL.RESNETS.STRIDE_IN_1X1",
    "short_side": "INPUT.MIN_SIZE_TEST",
    "long_side": "INPUT.MAX_SIZE_TEST",
}


def preprocessing_of(cfg: CfgNode) -> Preprocessing:
    """Returns a config's preprocessing of images."""
    return Preprocessing(
        channels=cfg.INPUT.FORMAT,
        mean=tuple(cfg.MODEL.PIXEL_MEAN),
        std=tuple(cfg.MODEL.PIXEL_STD),
        # Basic blocks have no 1x1 convolution that could take the stride.
        stride_in_1x1=cfg.MODEL.RESNETS.STRIDE_IN_1X1 if cfg.MODEL.RESNETS.DEPTH >= 50 else None,
        short_side=cfg.INPUT.MIN_SIZE_TEST,
        long_side=cfg.INPUT.MAX_SIZE_TEST,
    )


def build_checkpointer(cfg: CfgNode, model: torch.nn.Module, save_dir: str = "", **kwargs) -> Checkpointer:
    """Builds the checkpointer of a model.

    Args:
        cfg: The model's config.
        model: The model.
        save_dir: Folder of the checkpoints; "" to save nothing.
        **kwargs: Other arguments of :class:`Checkpointer`, such as ``card`` in training.
    """
    return Checkpointer(
        model, save_dir, preprocessing=preprocessing_of(cfg), preprocessing_keys=_KEYS, **kwargs
    )


class FreshWeights:
    """Initial weights to keep in fine-tuning, such as the last category layer's (FreeSOLO, section 6.2.1)."""

    def __init__(self, model: torch.nn.Module, prefixes: Sequence[str]):
        """
        Args:
            model: Model with its initial weights.
            prefixes: Name prefixes of weights to re-initialize.

        Raises:
            InputError: If no weight's name begins with one of them.
        """
        self._model = model
        weights = model.state_dict()
        for prefix in prefixes:
            if not any(name.startswith(prefix) for name in weights):
                raise InputError(f"MODEL.FRESH_WEIGHTS: no weight's name begins with {prefix}")
        self._weights = {
            name: value.clone() for name, value in weights.items() if name.startswith(tuple(prefixes))
        }

    def restore(self) -> None:
        """Copies the initial weights back after loading."""
        self._model.load_state_dict(self._weights, strict=False)
