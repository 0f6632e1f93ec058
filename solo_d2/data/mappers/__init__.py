"""Mappers: a data set record -> what a model takes."""

from .instance import InstanceMapper

__all__ = ["InstanceMapper"]
