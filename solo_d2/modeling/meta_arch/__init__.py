"""Models registered in Detectron2's ``META_ARCH_REGISTRY``."""

from .condinst import CondInst
from .solo import DecoupledSOLO, SOLO
from .solov2 import SOLOv2

__all__ = [
    "CondInst",
    "DecoupledSOLO",
    "SOLO",
    "SOLOv2",
]
