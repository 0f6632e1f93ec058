"""Models registered in Detectron2's ``META_ARCH_REGISTRY``."""

from .solov2 import SOLOv2

__all__ = ["SOLOv2"]
