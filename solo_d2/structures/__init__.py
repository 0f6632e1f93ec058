"""Plain data handed from one stage to the next."""

from .errors import InputError
from .grid import GridLayout, GridTargets, Level

__all__ = ["GridLayout", "GridTargets", "InputError", "Level"]
