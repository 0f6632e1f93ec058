"""The base class of meta-architectures, and the template of a direct instance segmenter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY, Backbone, build_backbone
from detectron2.structures import BitMasks, ImageList, Instances
from detectron2.utils.events import get_event_storage, has_event_storage
from solo_d2.layers import convert_deform_convs
from solo_d2.structures import RunMasks

Shape = tuple[int, ...]


@dataclass(frozen=True)
class WeightKey:
    """Config keys that explain a group of weights, for messages about a file that does not fit.

    Keys are full names, joined by "or"; "{}" stands for the model's own node, such as "MODEL.SOLOV2".

    Attributes:
        pattern: Regular expression that matches the start of a weight's name.
        shape: The key that decides the weight's shape, or a function that returns the key for the shapes in a
            file and in the model.
        presence: The key that decides whether the weight exists.
        per_class: Whether the weight has a row per class and is re-initialized for other classes.
    """

    pattern: str
    shape: str | Callable[[Shape, Shape], str]
    presence: str
    per_class: bool = False


# For weights of another method, which neither this method nor a backbone declares.
OTHER_WEIGHTS = WeightKey("", "MODEL.META_ARCHITECTURE", presence="MODEL.META_ARCHITECTURE")


class MetaArchitecture(nn.Module):
    """Base of all models: class attributes that describe the model, and the normalization of images.

    Detectron2's own meta-architectures are not subclasses; the defaults below apply to them.

    Attributes:
        config_node: Node below ``cfg.MODEL`` that holds the method's keys; "" for none.
        train_mapper: Name in :mod:`solo_d2.data.mappers` of the mapper of training samples; None if the data
            set's records decide.
        evaluator_types: Types of data sets (``evaluator_type``) that the model can be evaluated on; None for
            a model that finds instances.
        is_panoptic: Whether results have "panoptic_seg".
        weight_keys: Config keys that explain weights; the first match counts. A subclass declares only its
            own, see :meth:`all_weight_keys`.
        weight_parts: Parts inside "backbone" or "head" that a file may have or lack on their own.
    """

    config_node: ClassVar[str] = ""
    train_mapper: ClassVar[str | None] = None
    evaluator_types: ClassVar[tuple[str, ...] | None] = None
    is_panoptic: ClassVar[bool] = False
    weight_keys: ClassVar[tuple[WeightKey, ...]] = ()
    weight_parts: ClassVar[tuple[str, ...]] = ()

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, *, pixel_mean: Sequence[float], pixel_std: Sequence[float]):
        """
        Args:
            pixel_mean: Mean per channel, in the order and range of the input images.
            pixel_std: Standard deviation per channel, likewise.
        """
        super().__init__()
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), False)

    @classmethod
    def all_weight_keys(cls) -> tuple[WeightKey, ...]:
        """Returns the weight keys of the class and its bases, the class's own first."""
        return tuple(key for base in cls.__mro__ for key in vars(base).get("weight_keys", ()))

    @classmethod
    def original_of(cls, weight: str) -> str:
        """Returns the name of the weight that ``weight`` is a copy of; by default the name itself."""
        return weight

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def to_channels_last(self) -> None:
        """Converts the weights to the images' memory format; call it after all parts are built."""
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def normalize(self, images: Tensor) -> Tensor:
        """Normalizes pixels (..., C, H, W) with the model's mean and standard deviation."""
        return (images - self.pixel_mean) / self.pixel_std


def find_meta_architecture(name: str) -> type[MetaArchitecture]:
    """Returns the registered class of this name.

    Detectron2's own models and unknown names give :class:`MetaArchitecture`, whose defaults apply.
    """
    found = META_ARCH_REGISTRY.get(name) if name in META_ARCH_REGISTRY else MetaArchitecture
    return found if issubclass(found, MetaArchitecture) else MetaArchitecture


def build_any_device_backbone(cfg: CfgNode) -> Backbone:
    """Builds ``MODEL.BACKBONE.NAME`` with deformable convolutions that run on any device.

    Parameters have the names and shapes of Detectron2's backbone.
    """
    return convert_deform_convs(build_backbone(cfg))


def training_iteration() -> int | None:
    """Returns the current training iteration, counted from 0 across resumes; None outside training."""
    return get_event_storage().iter if has_event_storage() else None


class DenseSegmenter(MetaArchitecture):
    """Template of a model that maps images to instances without proposals.

    A subclass provides :meth:`losses` and :meth:`inference`. Weights and images are channels-last.
    """

    def __init__(self, *, backbone: Backbone, **kwargs):
        """
        Args:
            backbone: Detectron2 backbone; inputs are padded to its ``size_divisibility``.
            **kwargs: Arguments of :class:`MetaArchitecture`.
        """
        super().__init__(**kwargs)
        self.backbone = backbone

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict]:
        """
        Args:
            batched_inputs: Detectron2's format: "image" (C, H, W) with values 0 to 255 in the order of
                ``INPUT.FORMAT``; "instances" with ``gt_boxes``, ``gt_classes`` and ``gt_masks`` (BitMasks)
                when training; "height" and "width" of the results, by default the image's own.

        Returns:
            A dict of losses when training, else one {"instances": Instances} per image.
        """
        images = self.preprocess(batched_inputs)
        features = self.backbone(images.tensor)
        if self.training:
            return self.training_losses(features, batched_inputs)
        output_sizes = [
            (x.get("height", size[0]), x.get("width", size[1]))
            for x, size in zip(batched_inputs, images.image_sizes, strict=True)
        ]
        return self.results(features, images.image_sizes, output_sizes)

    def training_losses(self, features: dict[str, Tensor], batched_inputs: list[dict]) -> dict[str, Tensor]:
        """Returns :meth:`losses`; the first one also depends on every map that no head reads.

        Distributed training waits for the gradients of all parameters, so unused maps contribute a gradient
        of 0. A wrapper adds its own losses here.
        """
        losses = self.losses(features, batched_inputs)
        unread = [x.float().mean() for name, x in features.items() if name not in self.read_features]
        if unread:
            first = next(iter(losses))
            losses[first] = losses[first] + 0 * sum(unread)
        return losses

    @property
    def read_features(self) -> set[str]:
        """Returns the names of the backbone outputs that heads and losses read in training."""
        raise NotImplementedError

    def ground_truth(self, batched_inputs: list[dict]) -> list[Instances]:
        """Returns the inputs' instances on the model's device."""
        return [x["instances"].to(self.device) for x in batched_inputs]

    def results(
        self,
        features: dict[str, Tensor],
        image_sizes: Sequence[tuple[int, int]],
        output_sizes: Sequence[tuple[int, int]],
    ) -> list[dict]:
        """Returns the results of inference; a wrapper adds its own results here."""
        return [{"instances": x} for x in self.inference(features, image_sizes, output_sizes)]

    def preprocess(self, batched_inputs: list[dict]) -> ImageList:
        """Normalizes the images and pads them right and below to one size."""
        images = [self.normalize(x["image"].to(self.device, non_blocking=True)) for x in batched_inputs]
        batch = ImageList.from_tensors(
            images,
            self.backbone.size_divisibility,
            padding_constraints=self.backbone.padding_constraints,
        )
        batch.tensor = batch.tensor.contiguous(memory_format=torch.channels_last)
        return batch

    def losses(self, features: dict[str, Tensor], batched_inputs: list[dict]) -> dict[str, Tensor]:
        """Returns named scalar losses; each depends on its parameters even without instances.

        Args:
            features: The backbone's outputs by name.
            batched_inputs: Inputs of :meth:`forward`.
        """
        raise NotImplementedError

    def inference(
        self,
        features: dict[str, Tensor],
        image_sizes: Sequence[tuple[int, int]],
        output_sizes: Sequence[tuple[int, int]],
    ) -> list[Instances]:
        """Returns each image's instances at its output size."""
        raise NotImplementedError


def ground_truth_masks(instances: Instances) -> Tensor | RunMasks:
    """Returns ``gt_masks`` as runs if they are such, else as (n, H, W) bool, from bit masks or polygons.

    Detectron2 omits the field for images without annotations, which means no masks.
    """
    if not instances.has("gt_masks"):
        return torch.zeros(0, *instances.image_size, dtype=torch.bool, device=instances.gt_classes.device)
    masks = instances.gt_masks
    if isinstance(masks, RunMasks):
        return masks
    if not isinstance(masks, BitMasks):
        masks = BitMasks.from_polygon_masks(masks, *instances.image_size)
    return masks.tensor.to(instances.gt_classes.device)


def has_mask(instances: Sequence[Instances]) -> Tensor | None:
    """Returns (N,) bool, whether each of a batch's instances has a mask to learn from; None if all have.

    The field is ``gt_has_mask`` (n,) bool; an image whose instances all have masks need not have it.
    """
    if not any(x.has("gt_has_mask") for x in instances):
        return None
    flags = [
        x.gt_has_mask if x.has("gt_has_mask") else torch.ones_like(x.gt_classes, dtype=torch.bool)
        for x in instances
    ]
    return torch.cat(flags)
