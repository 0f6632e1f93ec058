"""All layouts this project reads, and which one a file is in."""

from collections.abc import Iterable

from solo_d2.utils.errors import InputError

from .adapter import Adapter
from .adelaidet import ADELAIDET, FREESOLO
from .condinst import ADELAIDET_CONDINST, ADELAIDET_CONDINST_BIFPN, MMDET_CONDINST
from .openmmlab import MMDET, MMDET_BBOX_HEAD, MMDET_MASK_FEAT_HEAD, ORIGINAL_DECOUPLED_SOLO, ORIGINAL_SOLO
from .resnet import CAFFE2_RESNET, DENSECL, DETECTRON2_RESNET, OPENMMLAB_RESNET, TORCHVISION_RESNET

# The first one that recognises a file takes it: models before backbones, the particular before the general.
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
    TORCHVISION_RESNET,
    CAFFE2_RESNET,
    DETECTRON2_RESNET,
)


def detect(names: Iterable[str]) -> Adapter | None:
    """The adapter of the layout these names are in; None for this project's own or an unknown one."""
    names = list(names)
    return next((adapter for adapter in ADAPTERS if adapter.recognises(names)), None)


def adapter_named(name: str) -> Adapter:
    """The adapter that the command line calls ``name``.

    Raises:
        InputError: there is none.
    """
    for adapter in ADAPTERS:
        if adapter.name == name:
            return adapter
    known = ", ".join(adapter.name for adapter in ADAPTERS)
    raise InputError(f"there is no layout {name}; known are {known}")
