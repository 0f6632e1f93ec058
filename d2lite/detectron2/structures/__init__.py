"""Boxes, masks, instances and batches of images: the data that flows between the stages."""

from detectron2.structures.boxes import Boxes, BoxMode, pairwise_iou
from detectron2.structures.image_list import ImageList
from detectron2.structures.instances import Instances
from detectron2.structures.masks import BitMasks, PolygonMasks, polygons_to_bitmask

__all__ = [
    "BitMasks",
    "BoxMode",
    "Boxes",
    "ImageList",
    "Instances",
    "PolygonMasks",
    "pairwise_iou",
    "polygons_to_bitmask",
]
