"""condinst"""

from .model import CondInst

__all__ = ["CondInst"]
