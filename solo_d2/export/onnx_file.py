"""The description and the checksum inside an exported ONNX file."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import import_module
from types import ModuleType
from typing import Any

from solo_d2.checkpoint import ModelCard, Preprocessing
from solo_d2.checkpoint.model_card import CARD_KEY
from solo_d2.methods.panoptic.postprocess import PanopticMerge
from solo_d2.utils.errors import InputError

from . import checksum

DESCRIPTION_KEY, CHECKSUM_KEY = "solo_d2", "solo_d2.checksum"
# Number of the description's format; a later one may mean another thing by the same names.
_FORMAT = 1
_LICENSE = "solo_d2 is under Apache-2.0; weights keep the terms of the data and weights they come from"
_PACKAGES = "onnx onnxruntime onnxscript"
# The key, the tag and length of protobuf's second field, and the digits.
_CHECKSUM = re.compile(re.escape(CHECKSUM_KEY.encode()) + rb"\x12\x40([0-9a-f]{64})")


@dataclass(frozen=True)
class Description:
    """Facts about an exported model.

    Attributes:
        card: Classes, meta-architecture, thresholds, and the version of this project that wrote the file.
        preprocessing: Channel order, mean and standard deviation (both applied inside), and test size.
        size_divisibility: Height and width of the input are multiples of it.
        num_candidates: N of :class:`FixedInference`, as are all further attributes.
        mask_stride: Input pixels per mask pixel.
        mask_threshold: Mask pixels are strictly above it.
        aligned: Whether masks are upsampled by :func:`solo_d2.layers.aligned_bilinear`.
        precision: "fp32", or "int8" for quantized convolutions.
        masks: Form of the masks, "soft", "full" or "rle-ready".
        semantic_stride: Input pixels per pixel of a panoptic model's semantic map; 0 for other models.
        merge: Merges instances and semantic map; None for models that do not.
        license: Note on the terms of use.
    """

    card: ModelCard = field(default_factory=ModelCard)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    size_divisibility: int = 32
    num_candidates: int = 0
    mask_stride: int = 4
    mask_threshold: float = 0.5
    aligned: bool = False
    precision: str = "fp32"
    masks: str = "soft"
    semantic_stride: int = 0
    merge: PanopticMerge | None = None
    license: str = _LICENSE

    def to_json(self) -> str:
        """Returns the text that the file stores."""
        plain = {key: value for key, value in asdict(self).items() if key not in ("card", "preprocessing")}
        nested = {CARD_KEY: self.card.as_dict(), "preprocessing": self.preprocessing.as_dict()}
        return json.dumps({"format": _FORMAT, **plain, **nested})

    @classmethod
    def from_json(cls, text: str, source: str) -> "Description":
        """Inverts :meth:`to_json`, also of earlier versions; unknown keys are ignored.

        Args:
            text: The text.
            source: The file, for messages.

        Raises:
            InputError: The text is damaged or of a later format.
        """
        try:
            stored = json.loads(text)
        except ValueError:
            stored = None
        if not isinstance(stored, dict) or not isinstance(stored.get("format"), int):
            raise InputError(f"{source} has a damaged description: export the model again")
        if stored["format"] > _FORMAT:
            raise InputError(f"{source} was written by a later version of solo_d2: update solo_d2 to read it")
        nested = {
            "card": ModelCard.stored_in(stored),
            "preprocessing": Preprocessing.from_dict(_mapping(stored.get("preprocessing"))),
            "merge": _merge_of(stored.get("merge"), source),
        }
        names = [one.name for one in fields(cls) if one.name not in nested]
        plain = {name: stored[name] for name in names if name in stored}
        if stored.get("full_masks") is True:  # how the first files said it
            plain["masks"] = "full"
        _check_sound(plain, {name: getattr(cls, name) for name in plain}, source)
        return cls(**{**plain, **nested})


def _mapping(value: object) -> Mapping:
    return value if isinstance(value, Mapping) else {}


def _is_sound(value: object, default: object) -> bool:
    """Tells whether a field with this default may have a value, which comes from a file."""
    if isinstance(default, bool) or isinstance(value, bool):
        return type(value) is type(default)
    if isinstance(default, float):
        return isinstance(value, float | int) and 0 <= value <= 1
    if isinstance(default, int):  # a count, which may be 0 only by default
        return isinstance(value, int) and value >= min(default, 1)
    return isinstance(value, type(default))


def _merge_of(stored: object, source: str) -> PanopticMerge | None:
    """Returns the merge of a description's entry."""
    if stored is None:
        return None
    found = _mapping(stored)
    kinds = {"overlap_thresh": 0.0, "stuff_area_limit": 0, "instances_confidence_thresh": 0.0}
    values = {name: found.get(name) for name in kinds}
    _check_sound(values, kinds, source)
    return PanopticMerge(**values)  # type: ignore[arg-type]  # they are checked


def _check_sound(values: Mapping[str, Any], defaults: Mapping[str, Any], source: str) -> None:
    """Raises ``InputError`` for a value that a field with its default may not have."""
    for name, value in values.items():
        if not _is_sound(value, defaults[name]):
            raise InputError(f"{source} has a damaged {name} in its description: export the model again")


def required(name: str) -> ModuleType:
    """Imports a package that only exported models need.

    Raises:
        InputError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        of_openvino = name in ("openvino", "nncf")
        extra, packages = ("openvino", "nncf openvino") if of_openvino else ("export", _PACKAGES)
        raise InputError(
            f'exported models need {name}: pip install "solo_d2[{extra}]", or {packages}'
        ) from error


def check_content(content: bytes, source: str) -> None:
    """Checks that a file's bytes are those that were written.

    Raises:
        InputError: It is no model that this project exported, or damaged.
    """
    checksum.check(content, _CHECKSUM, source)


def store(proto: Any, description: Description) -> bytes:
    """Returns a model (``onnx.ModelProto``, changed in place) with its description as the bytes of a file."""
    for key, value in (
        (DESCRIPTION_KEY, description.to_json()),
        (CHECKSUM_KEY, checksum.EMPTY_CHECKSUM),
    ):
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    return checksum.fill_in(proto.SerializeToString(), _CHECKSUM)
