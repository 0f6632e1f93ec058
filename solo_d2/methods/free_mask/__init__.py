"""free_mask"""

from .model import FreeMask

__all__ = ["FreeMask"]
