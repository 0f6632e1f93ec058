"""Models registered in Detectron2's ``META_ARCH_REGISTRY``."""

from .condinst import CondInst
from .densecl import DenseCL
from .free_mask import FreeMask
from .freesolo import FreeSOLO
from .panoptic import PanopticCondInst, PanopticSegmenter, PanopticSOLOv2
from .solo import SOLO, DecoupledSOLO
from .solov2 import SOLOv2

__all__ = [
    "CondInst",
    "DecoupledSOLO",
    "FreeSOLO",
    "FreeMask",
    "PanopticCondInst",
    "PanopticSOLOv2",
    "PanopticSegmenter",
    "DenseCL",
    "SOLO",
    "SOLOv2",
]
