"""A stand-in for ONNX: its "file" finds the bright part of an image, and needs none of the packages."""

from types import SimpleNamespace

import numpy as np

from solo_d2.checkpoint import Category, ModelCard, Preprocessing
from solo_d2.export.onnx_file import Description

PREPROCESSING = Preprocessing(
    channels="BGR", mean=(10.0, 20.0, 30.0), std=(1.0, 1.0, 1.0), short_side=64, long_side=128
)
CARD = ModelCard((Category(7, "lamp"),), "SOLOv2", {"MODEL.SOLOV2.SCORE_THR": 0.1}, "0.1.0")
DESCRIPTION = Description(card=CARD, preprocessing=PREPROCESSING, mask_stride=1, mask_threshold=0.25)


class Proto:
    """The part of ``onnx.ModelProto`` that stores metadata: entries of length-prefixed key and value."""

    def __init__(self):
        self.entries: list[SimpleNamespace] = []
        self.metadata_props = SimpleNamespace(add=self._add)

    def _add(self):
        self.entries.append(SimpleNamespace(key="", value=""))
        return self.entries[-1]

    def SerializeToString(self) -> bytes:
        return b"".join(
            part
            for entry in self.entries
            for tag, text in ((b"\x0a", entry.key), (b"\x12", entry.value))
            for part in (tag, _length(len(text.encode())), text.encode())
        )


def _length(number: int) -> bytes:
    """Protobuf's numbers: seven bits a byte, the lowest first."""
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + _length(rest) if rest else bytes([low])


def _metadata(content: bytes) -> dict[str, str]:
    texts, place = [], 0
    while place < len(content):
        length, shift, place = 0, 0, place + 1
        while True:
            byte = content[place]
            length, shift, place = length | (byte & 127) << shift, shift + 7, place + 1
            if byte < 128:
                break
        texts.append(content[place : place + length].decode())
        place += length
    return dict(zip(texts[::2], texts[1::2], strict=True))


class Session:
    """Finds the pixels whose mean is above a quarter of white; one result per image, if it has any."""

    def __init__(self, content, options, providers):
        if content.endswith(b"unreadable"):
            raise RuntimeError("bad magic\nat offset 0")
        self.content = content
        self.batches: list[np.ndarray] = []

    def get_modelmeta(self):
        return SimpleNamespace(custom_metadata_map=_metadata(self.content))

    def get_inputs(self):
        return [SimpleNamespace(name="images")]

    def get_outputs(self):
        return [SimpleNamespace(name=name) for name in ("scores", "count", "classes", "masks")]

    def run(self, outputs, feeds):
        (images,) = feeds.values()
        self.batches.append(images)
        masks = images.mean(1, keepdims=True) / 255
        scores = masks.max((2, 3))
        count = (scores[:, 0] > 0.25).astype(np.int64)
        values = {
            "masks": masks,
            "scores": scores,
            "count": count,
            "classes": np.zeros_like(scores, np.int64),
        }
        return [values[name] for name in outputs]


class SessionOptions:
    """Settings that nobody reads."""


RUNTIME = SimpleNamespace(InferenceSession=Session, SessionOptions=SessionOptions, __version__="0")
