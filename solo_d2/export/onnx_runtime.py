"""Runs an exported ONNX file in ONNX Runtime, with the inputs and outputs of the model that it came from."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from solo_d2.checkpoint import Preprocessing
from solo_d2.utils.errors import InputError

from .fixed import outputs_of, restoring
from .onnx_file import DESCRIPTION_KEY, Description, check_content, required


def start_session(content: bytes, source: str) -> Any:
    """Returns an ``onnxruntime.InferenceSession`` on the CPU, with as many threads as PyTorch.

    Args:
        content: The file.
        source: Its name, for messages.

    Raises:
        InputError: ONNX Runtime is missing or cannot read the file.
    """
    runtime = required("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    try:
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of onnxruntime's own classes, which have no common base
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{source} cannot be read by ONNX Runtime {runtime.__version__}: {reason}"
        ) from error


def read_content(path: str | os.PathLike) -> bytes:
    """Returns a file's bytes.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{os.fspath(path)} cannot be read: {error.strerror}") from error


def _prepares_images(said: Preprocessing) -> bool:
    """Tells whether everything is known that images need."""
    colors = said.mean or (), said.std or ()
    sized = said.short_side is not None and said.short_side >= 0 and (said.long_side or 0) > 0
    known = said.channels is not None and all(len(values) == 3 for values in colors)
    return sized and known and all(math.isfinite(value) for values in colors for value in values)


class OnnxModel(nn.Module):
    """An exported model; called with a batch, it returns what the original model returns.

    Attributes:
        description: What the file says about itself.
    """

    def __init__(self, path: str | os.PathLike, precision: str = "fp32"):
        """
        Args:
            path: A file that :func:`export_onnx` has written with soft masks.
            precision: Number format of the arithmetic; ONNX Runtime computes in the file's own, "fp32".

        Raises:
            InputError: The file is missing, damaged, of another origin, or has other masks.
        """
        super().__init__()
        source = os.fspath(path)
        self.description = Description.from_json(self._open(path, precision), source)
        if not _prepares_images(self.description.preprocessing):
            raise InputError(f"{source} does not say how to prepare images: export the model again")
        if self.description.masks != "soft":
            raise InputError(f"{source} has masks of the input's size: export it with --masks soft")

    def _open(self, path: str | os.PathLike, precision: str) -> str:
        """Starts the runtime; returns the text of the file's description."""
        source = os.fspath(path)
        if precision != "fp32":
            raise InputError(
                f"{source} is computed in fp32, not {precision}: export it with --format openvino or --int8"
            )
        content = read_content(path)
        check_content(content, source)
        self._session = start_session(content, source)
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._outputs = [one.name for one in self._session.get_outputs()]
        return self._session.get_modelmeta().custom_metadata_map.get(DESCRIPTION_KEY, "")

    def feeds(self, images: list[Tensor]) -> dict[str, np.ndarray]:
        """Returns the file's inputs for images (3, H, W), values 0 to 255 in the description's order."""
        sizes = torch.tensor([image.shape[1:] for image in images])
        values = {"images": self._pad([image.float() for image in images]).numpy(), "sizes": sizes.numpy()}
        return {name: values[name] for name in self._inputs}

    def compute(self, feeds: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """Returns the file's outputs by name for the values of :meth:`feeds`."""
        found = self._session.run(self._outputs, feeds)
        return dict(zip(self._outputs, map(torch.from_numpy, found), strict=True))

    def forward(self, batched_inputs: list[dict]) -> list[dict]:
        """
        Args:
            batched_inputs: "image" (3, H, W) with values 0 to 255 in the description's order of channels, and
                "height" and "width" of the results, by default the image's own.

        Returns:
            One {"instances": Instances} per image; of a panoptic model also "sem_seg" and "panoptic_seg".
        """
        images = [one["image"] for one in batched_inputs]
        results = self.compute(self.feeds(images))
        return [
            self._result({name: values[i] for name, values in results.items()}, images[i].shape[1:], one)
            for i, one in enumerate(batched_inputs)
        ]

    def _pad(self, images: list[Tensor]) -> Tensor:
        """Pads images right and below with the mean, which the normalization inside makes 0."""
        step = self.description.size_divisibility
        height, width = (-(-max(image.shape[axis] for image in images) // step) * step for axis in (1, 2))
        mean = torch.tensor(self.description.preprocessing.mean)
        batch = mean.view(1, 3, 1, 1).repeat(len(images), 1, height, width)
        for target, image in zip(batch, images, strict=True):
            target[:, : image.shape[1], : image.shape[2]] = image
        return batch

    def _result(self, results: Mapping[str, Tensor], image_size: tuple[int, int], one: dict) -> dict:
        output_size = one.get("height", image_size[0]), one.get("width", image_size[1])
        return outputs_of(results, image_size, output_size, **restoring(self.description))
