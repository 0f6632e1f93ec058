"""Configuration: a tree of defaults, YAML files and overrides that must name known keys."""

from detectron2.config.config import CfgNode, configurable, get_cfg

__all__ = ["CfgNode", "get_cfg", "configurable"]
