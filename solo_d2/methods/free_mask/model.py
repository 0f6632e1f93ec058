"""Free Mask (FreeSOLO, section 6.2.2) as a model: a backbone that segments without training."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Instances
from solo_d2.modeling.meta_architecture import DenseSegmenter, build_any_device_backbone
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import arguments, build

from .postprocess import FreeMaskPostprocessor


@META_ARCH_REGISTRY.register()
class FreeMask(DenseSegmenter):
    """Coarse, class-agnostic masks from the similarities of a backbone's features.

    Its only weights are the backbone's, and it has no losses. Results also have ``pred_embeddings``; every
    class is 0.
    """

    config_node = "FREE_MASK"

    @configurable
    def __init__(self, *, in_feature: str, postprocess: FreeMaskPostprocessor, **kwargs):
        """
        Args:
            in_feature: Backbone output to read.
            postprocess: Turns features into instances.
            **kwargs: Arguments of :class:`DenseSegmenter`.
        """
        super().__init__(**kwargs)
        self.in_feature = in_feature
        self.stride = self.backbone.output_shape()[in_feature].stride
        self.postprocess = postprocess
        self.to_channels_last()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Builds the parts.

        Raises:
            InputError: If the backbone has no such output.
        """
        backbone, in_feature = build_any_device_backbone(cfg), cfg.MODEL.FREE_MASK.IN_FEATURE
        outputs = backbone.output_shape()
        if in_feature not in outputs:
            raise InputError(
                f"MODEL.FREE_MASK.IN_FEATURE {in_feature} is no output of the backbone, which has "
                f"{', '.join(outputs)}: add it to MODEL.RESNETS.OUT_FEATURES or choose another"
            )
        name = "MODEL.FREE_MASK"
        postprocess = build(FreeMaskPostprocessor, cfg, name)
        return arguments(cls, cfg, name, "MODEL", backbone=backbone, postprocess=postprocess)

    def losses(self, features: dict[str, Tensor], batched_inputs: list[dict]) -> dict[str, Tensor]:
        """Raises an error, because there is nothing to train."""
        raise InputError(
            "Free Mask has nothing to train: pre-train its backbone, and train FreeSOLO on its masks"
        )

    def inference(
        self,
        features: dict[str, Tensor],
        image_sizes: Sequence[tuple[int, int]],
        output_sizes: Sequence[tuple[int, int]],
    ) -> list[Instances]:
        """Segments each image; see :class:`FreeMaskPostprocessor`. Cells of padding are ignored."""
        results = []
        for feature, image_size, output_size in zip(
            features[self.in_feature], image_sizes, output_sizes, strict=True
        ):
            rows, columns = (-(-side // self.stride) for side in image_size)
            cells = feature[:, :rows, :columns]
            results.append(self.postprocess(cells, self.stride, image_size, output_size))
        return results
