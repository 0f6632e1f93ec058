"""Config keys: one ``add_<topic>_config(cfg)`` per file. Each key states its unit and paper section."""

from detectron2.config import CfgNode
from detectron2.config import get_cfg as get_detectron2_cfg
from solo_d2.methods.condinst.config import add_condinst_config, add_fcos_config
from solo_d2.methods.densecl.config import add_densecl_config
from solo_d2.methods.free_mask.config import add_free_mask_config
from solo_d2.methods.freesolo.config import add_freesolo_config
from solo_d2.methods.solo.config import add_solo_config
from solo_d2.methods.solov2.config import add_solov2_config
from solo_d2.modeling.backbones.config import add_backbone_config

from .data import add_data_config
from .inference import add_inference_config
from .training import add_training_config

__all__ = [
    "add_backbone_config",
    "add_condinst_config",
    "add_data_config",
    "add_densecl_config",
    "add_fcos_config",
    "add_freesolo_config",
    "add_free_mask_config",
    "add_inference_config",
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
    add_inference_config(cfg)
    add_solo_config(cfg)
    add_solov2_config(cfg)
    add_backbone_config(cfg)
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
