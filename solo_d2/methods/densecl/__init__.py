"""densecl"""

from .model import DenseCL

__all__ = ["DenseCL"]
