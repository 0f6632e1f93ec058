"""DenseCL (Wang et al.): pre-trains a backbone on images alone by comparing two views of each, cell by cell.

MoCo-v2 is the same without the dense branch (``MODEL.DENSECL.LAMBDA`` 0).

B: images of this process; M: cells of a view's grid; D: width of the projections.
"""

import logging
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils import comm
from solo_d2.modeling.meta_architecture import MetaArchitecture, build_any_device_backbone, training_iteration
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import arguments, build, naming_keys

from .config import DENSECL_WEIGHT_KEYS
from .head import ContrastiveEncoder, ContrastiveNeck, Projections
from .key_encoder import BatchShuffle, KeyQueue, MomentumCopy, gather_ranks
from .losses import info_nce, match_cells, take_cells

# Exponentials of 1 / temperature, summed over a queue, must fit in float32.
MIN_TEMPERATURE = 0.02
# For arguments that can only be checked against a batch.
_KEYS = {"grid_size": "MODEL.DENSECL.GRID_SIZE", "queue_size": "MODEL.DENSECL.QUEUE_SIZE"}


@META_ARCH_REGISTRY.register()
class DenseCL(MetaArchitecture):
    """A trained query encoder, a key encoder that follows it, and a queue of keys per loss.

    The result is the query encoder's backbone, ``backbone.bottom_up`` in checkpoints.
    """

    config_node = "DENSECL"
    weight_keys = DENSECL_WEIGHT_KEYS
    # A detector does not use the projections.
    weight_parts = ("backbone.neck",)
    train_mapper = "two_views"
    evaluator_types = ("class_folders",)

    @configurable
    def __init__(
        self,
        *,
        encoder: ContrastiveEncoder,
        feat_dim: int,
        queue_size: int,
        momentum: float,
        temperature: float,
        dense_weight: float,
        lambda_warmup_iters: int,
        shuffle_bn: bool,
        **kwargs,
    ):
        """
        Args:
            encoder: Maps views to :class:`Projections`; with a dense branch unless ``dense_weight`` is 0.
            feat_dim: D.
            queue_size: Keys in each queue.
            momentum: Fraction of its weights that the key encoder keeps at each step.
            temperature: Temperature of both losses.
            dense_weight: Lambda, the weight of the dense loss.
            lambda_warmup_iters: Number of first steps that train with a lambda of 0.
            shuffle_bn: Whether keys are encoded in an order shuffled over the processes.
            **kwargs: Arguments of :class:`MetaArchitecture`.
        """
        super().__init__(**kwargs)
        self.backbone = encoder
        self.key_encoder = MomentumCopy(encoder, momentum)
        self.queue = KeyQueue(queue_size, feat_dim)
        self.dense_queue = KeyQueue(queue_size, feat_dim) if dense_weight else None
        self.temperature = temperature
        self.dense_weight = dense_weight
        self.lambda_warmup_iters = lambda_warmup_iters
        self.shuffle_bn = shuffle_bn
        self.register_load_state_dict_pre_hook(_before_loading)
        self.register_load_state_dict_post_hook(_after_loading)
        self.to_channels_last()

    @classmethod
    def original_of(cls, weight: str) -> str:
        """Returns the query encoder's name for a key encoder's weight, undoing :class:`MomentumCopy`."""
        is_copy = weight.startswith("key_encoder.")
        return weight.replace("key_encoder.", "backbone.", 1).replace("/", ".") if is_copy else weight

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Builds the encoder.

        Raises:
            InputError: If a key is out of range or the backbone has no such output.
        """
        node, name = cfg.MODEL.DENSECL, "MODEL.DENSECL"
        _check_from_config(cfg)
        bottom_up = build_any_device_backbone(cfg)
        shapes = bottom_up.output_shape()
        if node.IN_FEATURE not in shapes:
            raise InputError(
                f"MODEL.DENSECL.IN_FEATURE {node.IN_FEATURE} is not one of the backbone's outputs "
                f"{', '.join(shapes)}: name it in MODEL.RESNETS.OUT_FEATURES."
            )
        in_channels = shapes[node.IN_FEATURE].channels
        neck = build(ContrastiveNeck, cfg, name, in_channels=in_channels, dense=node.LAMBDA > 0)
        encoder = build(ContrastiveEncoder, cfg, name, bottom_up=bottom_up, neck=neck)
        return arguments(cls, cfg, name, "MODEL", encoder=encoder, dense_weight=node.LAMBDA)

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict]:
        """
        Args:
            batched_inputs: "image" (C, H, W) with values 0 to 255 in the order of ``INPUT.FORMAT``; when
                training also "key_image", another view of the same size.

        Returns:
            "loss_global" and, with a dense branch, "loss_dense" when training, weighted with lambda; else
            {"embedding": (C,) float32 mean of the backbone's features, l2-normalized} for each image.
        """
        if not self.training:
            return [{"embedding": self._embed(x["image"])} for x in batched_inputs]
        with naming_keys(_KEYS):
            return self._training_losses(batched_inputs)

    def _training_losses(self, batched_inputs: list[dict]) -> dict[str, Tensor]:
        queries = self.backbone(self.normalize(self._stack(batched_inputs, "image")))
        learns = torch.is_grad_enabled()  # False while batch norm's statistics are measured
        if learns:
            self.key_encoder.update(self.backbone)
        keys = self._encode_keys(self._stack(batched_inputs, "key_image"))
        losses = self.losses(queries, keys)
        if learns:
            self._remember(keys)
        return losses

    def _stack(self, batched_inputs: list[dict], name: str) -> Tensor:
        """Stacks views of one size on the device: (B, C, H, W)."""
        return torch.stack([x[name].to(self.device, non_blocking=True) for x in batched_inputs])

    def normalize(self, views: Tensor) -> Tensor:
        """As :meth:`MetaArchitecture.normalize` for (B, C, H, W), channels-last."""
        return super().normalize(views).contiguous(memory_format=torch.channels_last)

    def losses(self, queries: Projections, keys: Projections) -> dict[str, Tensor]:
        """Returns both losses (equations 5.1 and 5.2), weighted (equation 5.3)."""
        iteration = training_iteration()
        warm = iteration is None or iteration >= self.lambda_warmup_iters
        weight = self.dense_weight if warm else 0.0
        loss = info_nce(queries.whole, keys.whole, self.queue.keys, self.temperature).mean()
        losses = {"loss_global": (1 - weight) * loss}
        if self.dense_queue is not None:
            losses["loss_dense"] = weight * self._dense_loss(queries, keys, self.dense_queue)
        return losses

    def _dense_loss(self, queries: Projections, keys: Projections, queue: KeyQueue) -> Tensor:
        """Compares each cell with the key's most similar one (equation 5.2)."""
        assert queries.cells is not None and queries.features is not None
        assert keys.cells is not None and keys.features is not None
        positives = take_cells(keys.cells, match_cells(queries.features, keys.features))
        cells = queries.cells.flatten(0, 1)
        return info_nce(cells, positives.flatten(0, 1), queue.keys, self.temperature).mean()

    @torch.no_grad()
    def _encode_keys(self, views: Tensor) -> Projections:
        """Encodes this process's views, shuffled with those of the other processes if configured."""
        if not self.shuffle_bn or comm.get_world_size() == 1:
            return self.key_encoder(self.normalize(views), with_mean=True)
        exchange = BatchShuffle.draw(len(views), seed=training_iteration() or 0, device=self.device)
        keys = self.key_encoder(self.normalize(exchange.shuffle(views)), with_mean=True)
        return keys.map(exchange.unshuffle)

    def _remember(self, keys: Projections) -> None:
        """Puts the keys of all processes into the queues."""
        self.queue.push(gather_ranks(keys.whole))
        if self.dense_queue is not None and keys.mean is not None:
            self.dense_queue.push(gather_ranks(keys.mean))

    def _embed(self, image: Tensor) -> Tensor:
        features = self.backbone.features(self.normalize(image.to(self.device)[None]))
        return F.normalize(features.float().mean((0, 2, 3)), dim=0)


def _check_from_config(cfg: CfgNode) -> None:
    """Checks the ranges of the config keys and warns about a lambda that may not learn.

    Raises:
        InputError: If lambda or the momentum is outside [0, 1], the queue is empty, or the temperature is
            too low for float32.
    """
    node = cfg.MODEL.DENSECL
    for key in ("LAMBDA", "MOMENTUM"):
        if not 0 <= node[key] <= 1:
            raise InputError(f"MODEL.DENSECL.{key} must be within 0 and 1, not {node[key]}.")
    if node.QUEUE_SIZE < 1:
        raise InputError(f"MODEL.DENSECL.QUEUE_SIZE must be at least 1, not {node.QUEUE_SIZE}.")
    if node.TEMPERATURE < MIN_TEMPERATURE:
        raise InputError(
            f"MODEL.DENSECL.TEMPERATURE must be at least {MIN_TEMPERATURE}, not {node.TEMPERATURE}."
        )
    if node.LAMBDA == 1 and not node.LAMBDA_WARMUP_ITERS and not cfg.MODEL.WEIGHTS:
        logging.getLogger(__name__).warning(
            "MODEL.DENSECL.LAMBDA 1 from random weights may not learn to match cells (section 5.3.4): "
            "set LAMBDA below 1, LAMBDA_WARMUP_ITERS, or MODEL.WEIGHTS"
        )


def _before_loading(model: DenseCL, weights: dict, prefix: str, *_) -> None:
    """Drops the step count of older files, which the training's iteration has replaced."""
    weights.pop(f"{prefix}num_steps", None)


def _after_loading(model: DenseCL, incompatible) -> None:
    """Initializes the key encoder as a copy of the query encoder if the file has none."""
    lacking = [name for name in incompatible.missing_keys if name.startswith("key_encoder.")]
    if lacking:
        model.key_encoder.restart(model.backbone)
        for name in lacking:
            incompatible.missing_keys.remove(name)
        logging.getLogger(__name__).info("The key encoder starts as a copy of the query encoder")
