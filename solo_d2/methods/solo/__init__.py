"""solo"""

from .model import SOLO, DecoupledSOLO

__all__ = ["DecoupledSOLO", "SOLO"]
