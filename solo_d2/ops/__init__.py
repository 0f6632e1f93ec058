"""Custom operators: schemas and PyTorch references here, optional compiled kernels in ``csrc/``."""

from ._extension import load_extension
from .box_nms import box_nms
from .mask_iou import mask_iou
from .masks_to_rle import masks_to_rle
from .matrix_nms import NMS_TYPES, mask_nms, matrix_nms
from .pack_masks import pack_masks
from .restore_masks import MaskCrops, RestoredMasks, restore_masks

load_extension()  # after the schemas, which its kernels are registered for

__all__ = [
    "NMS_TYPES",
    "MaskCrops",
    "RestoredMasks",
    "box_nms",
    "mask_iou",
    "mask_nms",
    "masks_to_rle",
    "matrix_nms",
    "pack_masks",
    "restore_masks",
]
