"""Models registered in Detectron2's ``META_ARCH_REGISTRY``."""

from .solo import SOLO, DecoupledSOLO
from .solov2 import SOLOv2

__all__ = ["SOLO", "DecoupledSOLO", "SOLOv2"]
