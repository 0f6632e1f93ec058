"""Backbones of timm and of Hugging Face's transformers, by name. Both packages are optional.

Outputs are "res2" to "res5" with strides 4 to 32. If all maps of a network have one stride, as in a plain
vision transformer, the outputs are computed from its last map (Li et al., ECCV 2022, section 3).

B: batch; C: channels of a map; H, W: size of the input, multiples of 32.
"""

import importlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from solo_d2.layers import resize
from solo_d2.modeling.meta_architecture import WeightKey
from solo_d2.utils.errors import InputError, suggestion
from solo_d2.utils.settings import build

from .fcos_fpn import fpn_from_config, fpn_with_pooled_level

_STRIDES = {f"res{level}": 2**level for level in range(2, 6)}
_PLAIN_STRIDE = 16
# A multiple of 32 and of the usual patch sizes, 14 and 16 pixels.
_PROBE_SIDE = 224


def _require(package: str) -> ModuleType:
    """Imports an optional package that a network's ``name`` needs.

    Raises:
        InputError: If it is missing or cannot be imported.
    """
    try:
        return importlib.import_module(package)
    except (ImportError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"name needs the package {package}, which cannot be imported ({reason}): pip install {package}"
        ) from error


class SimplePyramid(nn.Module):
    """Computes maps of strides 4, 8, 16 and 32 from one of stride 16."""

    def __init__(self, channels: int):
        """
        Args:
            channels: C of the input and of all outputs.
        """
        super().__init__()

        def enlarge() -> nn.ConvTranspose2d:
            return nn.ConvTranspose2d(channels, channels, 2, stride=2)

        self.to_res2 = nn.Sequential(enlarge(), nn.GroupNorm(1, channels), nn.GELU(), enlarge())
        self.to_res3 = enlarge()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Maps (B, C, H / 16, W / 16) to the four outputs."""
        return {"res2": self.to_res2(x), "res3": self.to_res3(x), "res4": x, "res5": F.max_pool2d(x, 2)}


class PretrainedFeatures(Backbone):
    """Wraps another library's network as a Detectron2 backbone."""

    weight_keys = (
        WeightKey(
            r"backbone\.(bottom_up\.)?(network|pyramid)\.",
            "MODEL.TIMM.NAME or MODEL.HUGGING_FACE.NAME",
            presence="MODEL.TIMM.NAME or MODEL.HUGGING_FACE.NAME",
        ),
    )

    def __init__(
        self,
        network: nn.Module,
        read: Callable[[nn.Module, Tensor], Sequence[Tensor]],
        frozen: Sequence[str],
    ):
        """
        Args:
            network: The library's module.
            read: Calls the module: maps images (B, 3, H, W) to features (B, C_i, H_i, W_i).
            frozen: Name prefixes of parameters that are not trained.

        Raises:
            InputError: If no map has a stride that a pyramid needs, or a prefix matches no parameter.
        """
        super().__init__()
        self.network = network
        self._read = read
        channels, strides = _probe(network, read)
        self.is_plain = len(set(strides)) == 1 and 8 < strides[0] < 32
        if self.is_plain:
            # Shrinking the image by 14 / 16 makes one 14-pixel patch cover 16 input pixels.
            self._scale = strides[-1] / _PLAIN_STRIDE
            self.pyramid = SimplePyramid(channels[-1])
            self._channels = dict.fromkeys(_STRIDES, channels[-1])
        else:
            names = {stride: name for name, stride in _STRIDES.items()}
            self._names = [names.get(stride) for stride in strides]
            self._channels = {n: c for n, c in zip(self._names, channels, strict=True) if n is not None}
        if not self._channels:
            raise InputError(f"a backbone with strides {strides} cannot make a pyramid of strides 4 to 32")
        self._out_features = list(self._channels)
        self._freeze(frozen)

    def _freeze(self, prefixes: Sequence[str]) -> None:
        names = [name for name, _ in self.network.named_parameters()]
        for prefix in prefixes:
            if not any(name.startswith(prefix) for name in names):
                raise InputError(f"frozen {prefix!r} matches no parameter; names look like {names[0]}")
        for name, parameter in self.network.named_parameters():
            if name.startswith(tuple(prefixes)):
                parameter.requires_grad = False

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {name: ShapeSpec(channels=c, stride=_STRIDES[name]) for name, c in self._channels.items()}

    @property
    def size_divisibility(self) -> int:
        return 32

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Maps (B, 3, H, W) to the outputs, (B, C, H / stride, W / stride) each."""
        if self.is_plain:
            size = (round(x.shape[-2] * self._scale), round(x.shape[-1] * self._scale))
            return self.pyramid(self._read(self.network, resize(x, size) if self._scale != 1 else x)[-1])
        maps = zip(self._names, self._read(self.network, x), strict=True)
        return {name: feature for name, feature in maps if name is not None}


@torch.no_grad()
def _probe(
    network: nn.Module, read: Callable[[nn.Module, Tensor], Sequence[Tensor]]
) -> tuple[list[int], list[int]]:
    """Returns the channels and strides of a network's maps, found by running it on a black image."""
    was_training = network.training
    maps = read(network.eval(), torch.zeros(1, 3, _PROBE_SIDE, _PROBE_SIDE))
    network.train(was_training)
    return [x.shape[1] for x in maps], [_PROBE_SIDE // x.shape[-1] for x in maps]


def _build_timm(name: str, pretrained: bool, drop_path: float) -> nn.Module:
    """Builds a timm model that returns its features at any input size.

    Raises:
        InputError: If timm is missing or does not have the model.
    """
    timm = _require("timm")
    if not timm.is_model(name):
        raise InputError(f"timm has no model {name!r}{suggestion(name, timm.list_models(), most=3)}")
    # By default a transformer accepts one image size only; each family has its own argument to lift that.
    for any_size in ({"dynamic_img_size": True}, {"strict_img_size": False}, {}):
        for options in ({"drop_path_rate": drop_path}, {}) if drop_path else ({},):
            with suppress(TypeError):
                return timm.create_model(
                    name, features_only=True, pretrained=pretrained, **any_size, **options
                )
    raise InputError(f"timm's model {name!r} cannot return features")


def _read_timm(network: nn.Module, x: Tensor) -> list[Tensor]:
    maps = network(x)
    channels_last = str(getattr(network, "output_fmt", "NCHW")).endswith("NHWC")
    return [m.permute(0, 3, 1, 2).contiguous() for m in maps] if channels_last else list(maps)


def _build_hugging_face(name: str, pretrained: bool) -> nn.Module:
    """Builds a backbone of transformers from a model's name on the hub or a folder with its ``config.json``.

    Raises:
        InputError: If transformers is missing, or the model cannot be loaded or is not a backbone.
    """
    transformers = _require("transformers")
    try:
        config = transformers.AutoConfig.from_pretrained(name)
        stages = [stage for stage in getattr(config, "stage_names", []) if stage != "stem"]
        config.out_features = stages
        network = transformers.AutoBackbone.from_config(config)
        return type(network).from_pretrained(name, config=config) if pretrained else network
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"name {name!r} cannot be loaded as a backbone: {reason}") from error


def _read_hugging_face(network: nn.Module, x: Tensor) -> list[Tensor]:
    return list(network(x).feature_maps)


@BACKBONE_REGISTRY.register()
def build_timm_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds ``MODEL.TIMM``."""
    network = build(_build_timm, cfg, "MODEL.TIMM")
    return build(PretrainedFeatures, cfg, "MODEL.TIMM", network=network, read=_read_timm)


@BACKBONE_REGISTRY.register()
def build_timm_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds ``MODEL.TIMM`` under ``MODEL.FPN``, as Detectron2's ``build_resnet_fpn_backbone``."""
    return fpn_with_pooled_level(cfg, build_timm_backbone(cfg, input_shape))


@BACKBONE_REGISTRY.register()
def build_fcos_timm_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds ``MODEL.TIMM`` under ``MODEL.FPN`` with ``MODEL.FCOS.TOP_LEVELS``."""
    return fpn_from_config(cfg, build_timm_backbone(cfg, input_shape))


@BACKBONE_REGISTRY.register()
def build_hugging_face_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds ``MODEL.HUGGING_FACE``."""
    network = build(_build_hugging_face, cfg, "MODEL.HUGGING_FACE")
    return build(PretrainedFeatures, cfg, "MODEL.HUGGING_FACE", network=network, read=_read_hugging_face)


@BACKBONE_REGISTRY.register()
def build_hugging_face_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds ``MODEL.HUGGING_FACE`` under ``MODEL.FPN``, as Detectron2's ``build_resnet_fpn_backbone``."""
    return fpn_with_pooled_level(cfg, build_hugging_face_backbone(cfg, input_shape))


@BACKBONE_REGISTRY.register()
def build_fcos_hugging_face_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds ``MODEL.HUGGING_FACE`` under ``MODEL.FPN`` with ``MODEL.FCOS.TOP_LEVELS``."""
    return fpn_from_config(cfg, build_hugging_face_backbone(cfg, input_shape))
