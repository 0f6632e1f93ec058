"""Models registered in Detectron2's ``META_ARCH_REGISTRY``."""

from .condinst import CondInst
from .panoptic import PanopticSegmenter, PanopticSOLOv2
from .solo import DecoupledSOLO, SOLO
from .solov2 import SOLOv2

__all__ = [
    "CondInst",
    "DecoupledSOLO",
    "PanopticSOLOv2",
    "PanopticSegmenter",
    "SOLO",
    "SOLOv2",
]
