"""solov2"""

from .model import SOLOv2

__all__ = ["SOLOv2"]
