"""Published models by name: their configs, files and addresses.

>>> from solo_d2 import model_zoo
>>> cfg = model_zoo.get_config("mmdet/solov2_R50_3x")
>>> model = model_zoo.get("mmdet/solov2_R50_3x", pretrained=True)
"""

from .catalogue import PREFIX, Catalogue, PublishedFile, load_catalogue
from .handler import register_prefix
from .zoo import config_file, get, get_config

__all__ = [
    "PREFIX",
    "Catalogue",
    "PublishedFile",
    "config_file",
    "get",
    "get_config",
    "load_catalogue",
]

register_prefix()
