"""All supported weight formats, and the recognition of a file's format."""

from collections.abc import Iterable

from solo_d2.utils.errors import InputError

from .adapter import Adapter
from .adelaidet import ADELAIDET, FREESOLO
from .condinst import ADELAIDET_CONDINST, ADELAIDET_CONDINST_BIFPN, MMDET_CONDINST
from .efficientnet import EFFICIENTNET_LITE
from .openmmlab import MMDET, MMDET_BBOX_HEAD, MMDET_MASK_FEAT_HEAD, ORIGINAL_DECOUPLED_SOLO, ORIGINAL_SOLO
from .resnet import (
    CAFFE2_RESNET,
    DENSECL,
    DETECTRON2_RESNET,
    OPENMMLAB_RESNET,
    OPENMMLAB_RESNET_D,
    PADDLE_RESNET_VD,
    TIMM_RESNET_D,
    TORCHVISION_RESNET,
)

# The first one that recognizes a file wins: models before backbones, specific before general.
ADAPTERS: tuple[Adapter, ...] = (
    FREESOLO,
    ADELAIDET,
    ADELAIDET_CONDINST_BIFPN,
    ADELAIDET_CONDINST,
    MMDET_CONDINST,
    ORIGINAL_SOLO,
    ORIGINAL_DECOUPLED_SOLO,
    MMDET_BBOX_HEAD,
    MMDET_MASK_FEAT_HEAD,
    MMDET,
    DENSECL,
    OPENMMLAB_RESNET,
    OPENMMLAB_RESNET_D,
    TIMM_RESNET_D,
    PADDLE_RESNET_VD,
    TORCHVISION_RESNET,
    CAFFE2_RESNET,
    DETECTRON2_RESNET,
    EFFICIENTNET_LITE,
)


def detect(names: Iterable[str]) -> Adapter | None:
    """Returns the adapter of the format of these names; None for this project's own or an unknown one."""
    names = list(names)
    return next((adapter for adapter in ADAPTERS if adapter.recognizes(names)), None)


def adapter_named(name: str) -> Adapter:
    """Returns the adapter with this command-line name.

    Raises:
        InputError: If no adapter has the name.
    """
    for adapter in ADAPTERS:
        if adapter.name == name:
            return adapter
    known = ", ".join(adapter.name for adapter in ADAPTERS)
    raise InputError(f"there is no format {name}; known are {known}")
