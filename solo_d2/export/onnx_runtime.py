"""Runs an exported ONNX file in ONNX Runtime, with the inputs and outputs of the model that it came from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from solo_d2.utils.errors import InputError

from .fixed import instances_of
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


class OnnxModel(nn.Module):
    """An exported model; called with a batch, it returns what the original model returns.

    Attributes:
        description: What the file says about itself.
    """

    def __init__(self, path: str | os.PathLike):
        """
        Args:
            path: A file that :func:`export_onnx` has written with soft masks.

        Raises:
            InputError: The file is missing, damaged, of another origin, or has other masks.
        """
        super().__init__()
        source = os.fspath(path)
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"{source} cannot be read: {error.strerror}") from error
        check_content(content, source)
        self._session = start_session(content, source)
        stored = self._session.get_modelmeta().custom_metadata_map
        self.description = Description.from_json(stored[DESCRIPTION_KEY], source)
        said = self.description.preprocessing
        if None in (said.mean, said.std, said.channels, said.short_side, said.long_side):
            raise InputError(f"{source} does not say how to prepare images: export the model again")
        if self.description.full_masks:
            raise InputError(f"{source} has masks of the input's size: export it without --masks full")
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._outputs = [one.name for one in self._session.get_outputs()]

    def forward(self, batched_inputs: list[dict]) -> list[dict]:
        """
        Args:
            batched_inputs: "image" (3, H, W) with values 0 to 255 in the description's order of channels, and
                "height" and "width" of the results, by default the image's own.

        Returns:
            One {"instances": Instances} per image.
        """
        images = [one["image"].float() for one in batched_inputs]
        sizes = [(image.shape[1], image.shape[2]) for image in images]
        feeds = {"images": self._pad(images).numpy(), "sizes": torch.tensor(sizes).numpy()}
        found = self._session.run(self._outputs, {name: feeds[name] for name in self._inputs})
        results = dict(zip(self._outputs, map(torch.from_numpy, found), strict=True))
        return [
            self._result({name: values[i] for name, values in results.items()}, sizes[i], one)
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
        said = self.description
        instances = instances_of(
            results,
            image_size,
            output_size,
            mask_stride=said.mask_stride,
            mask_threshold=said.mask_threshold,
            aligned=said.aligned,
        )
        return {"instances": instances}
