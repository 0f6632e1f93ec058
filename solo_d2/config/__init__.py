"""Config keys: one ``add_<topic>_config(cfg)`` per file, each key with its unit and paper section."""

from detectron2.config import CfgNode
from detectron2.config import get_cfg as get_detectron2_cfg

from .condinst import add_condinst_config
from .data import add_data_config
from .densecl import add_densecl_config
from .fcos import add_fcos_config
from .free_mask import add_free_mask_config
from .freesolo import add_freesolo_config
from .solo import add_solo_config
from .solov2 import add_solov2_config
from .training import add_training_config

__all__ = [
    "add_condinst_config",
    "add_data_config",
    "add_densecl_config",
    "add_fcos_config",
    "add_freesolo_config",
    "add_free_mask_config",
    "add_solo_config",
    "add_solo_d2_config",
    "add_solov2_config",
    "add_training_config",
    "get_cfg",
]


def add_solo_d2_config(cfg: CfgNode) -> None:
    """Adds every key of this project to a Detectron2 config, in place."""
    add_data_config(cfg)
    add_training_config(cfg)
    add_solo_config(cfg)
    add_solov2_config(cfg)
    add_fcos_config(cfg)
    add_condinst_config(cfg)
    add_freesolo_config(cfg)
    add_free_mask_config(cfg)
    add_densecl_config(cfg)


def get_cfg() -> CfgNode:
    """Returns Detectron2's default config with this project's keys added."""
    cfg = get_detectron2_cfg()
    add_solo_d2_config(cfg)
    return cfg
