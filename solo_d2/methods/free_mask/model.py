"""Free Mask (FreeSOLO, section 6.2.2) as a model: a backbone that segments without learning to."""

from collections.abc import Sequence

from torch import Tensor

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Instances
from solo_d2.modeling.backbones import build_any_device_backbone
from solo_d2.modeling.meta_architecture import DenseSegmenter
from solo_d2.utils.errors import InputError

from .postprocess import FreeMaskPostprocessor


@META_ARCH_REGISTRY.register()
class FreeMask(DenseSegmenter):
    """Coarse, class-agnostic masks from the similarities of a backbone's features.

    It has no weights beside the backbone's, and no losses. Results have ``pred_embeddings`` beside the usual
    fields, and class 0.
    """

    config_node = "FREE_MASK"

    @configurable
    def __init__(self, *, in_feature: str, postprocess: FreeMaskPostprocessor, **kwargs):
        """
        Args:
            in_feature: Backbone output that is read.
            postprocess: Features to instances.
            **kwargs: Of :class:`DenseSegmenter`.

        Raises:
            InputError: If the backbone has no such output.
        """
        super().__init__(**kwargs)
        shapes = self.backbone.output_shape()
        if in_feature not in shapes:
            raise InputError(
                f"MODEL.FREE_MASK.IN_FEATURE {in_feature} is no output of the backbone, which has "
                f"{', '.join(shapes)}: add it to MODEL.RESNETS.OUT_FEATURES or choose another"
            )
        self.in_feature = in_feature
        self.stride = shapes[in_feature].stride
        self.postprocess = postprocess
        self.to_channels_last()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        node = cfg.MODEL.FREE_MASK
        return {
            "backbone": build_any_device_backbone(cfg),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "in_feature": node.IN_FEATURE,
            "postprocess": FreeMaskPostprocessor(
                query_scales=tuple(node.QUERY_SCALES),
                mask_thr=node.MASK_THR,
                min_area=node.MIN_AREA,
                nms_pre=node.NMS_PRE,
                nms_kernel=node.NMS_KERNEL,
                nms_sigma=node.NMS_SIGMA,
                max_per_img=node.MAX_PER_IMG,
                maskness_thr=node.MASKNESS_THR,
                max_box_width=node.MAX_BOX_WIDTH,
                min_center_y=node.MIN_CENTER_Y,
                num_embeddings=node.NUM_EMBEDDINGS,
            ),
        }

    def losses(self, features: dict[str, Tensor], instances: Sequence[Instances]) -> dict[str, Tensor]:
        """Refuses: there is nothing to train."""
        raise InputError(
            "Free Mask has nothing to train: pre-train its backbone, and train FreeSOLO on its masks"
        )

    def inference(
        self,
        features: dict[str, Tensor],
        image_sizes: Sequence[tuple[int, int]],
        output_sizes: Sequence[tuple[int, int]],
    ) -> list[Instances]:
        """Segments each image; see :class:`FreeMaskPostprocessor`. Cells of padding are left out."""
        results = []
        for feature, image_size, output_size in zip(
            features[self.in_feature], image_sizes, output_sizes, strict=True
        ):
            rows, columns = (-(-side // self.stride) for side in image_size)
            cells = feature[:, :rows, :columns]
            results.append(self.postprocess(cells, self.stride, image_size, output_size))
        return results
