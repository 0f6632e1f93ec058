"""One folder per method; importing this package registers every meta-architecture."""

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
    "DenseCL",
    "FreeMask",
    "FreeSOLO",
    "PanopticCondInst",
    "PanopticSOLOv2",
    "PanopticSegmenter",
    "SOLO",
    "SOLOv2",
]
