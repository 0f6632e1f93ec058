"""Plain data handed from one stage to the next."""

from .errors import InputError
from .grid import GridLayout, GridTargets, Level
from .points import PointLayout, Points, PointTargets

__all__ = ["GridLayout", "GridTargets", "InputError", "Level", "PointLayout", "PointTargets", "Points"]
