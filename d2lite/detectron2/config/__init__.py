"""Configuration: a tree of defaults, YAML files, and overrides of known keys."""

from .config import CfgNode, configurable, get_cfg

__all__ = ["CfgNode", "configurable", "get_cfg"]
