"""freesolo"""

from .model import FreeSOLO

__all__ = ["FreeSOLO"]
