"""panoptic"""

from .model import PanopticCondInst, PanopticSegmenter, PanopticSOLOv2

__all__ = ["PanopticCondInst", "PanopticSOLOv2", "PanopticSegmenter"]
