"""Writes a trained model as a program of torch.export, and runs it: one .pt2 file that needs only PyTorch."""

import hashlib
import io
import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from detectron2.config import CfgNode
from detectron2.data import Metadata
from solo_d2.utils.atomic_file import write_bytes
from solo_d2.utils.errors import InputError

from .fixed import fixed_inference
from .onnx_file import Description
from .onnx_runtime import OnnxModel
from .program import INPUTS, compare, describe, trace

SUFFIX = ".pt2"
# Members that this project adds to the archive, in its folder.
_DESCRIPTION, _CHECKSUM = "extra/solo_d2.json", "extra/solo_d2.checksum"


def export_torch(
    model: nn.Module,
    cfg: CfgNode,
    metadata: Metadata,
    output: str | os.PathLike,
    *,
    num_candidates: int = 0,
    masks: str = "soft",
) -> Description:
    """Writes a model for ``torch.export.load``, for any batch and size; arguments as of :func:`export_onnx`.

    Returns:
        What the file says about itself.

    Raises:
        InputError: The model has no such form, its program gives other scores, or the file cannot be written.
    """
    check_output(output)
    fixed = fixed_inference(model, num_candidates, masks)
    description = describe(fixed, cfg, metadata)
    step = description.size_divisibility
    program = trace(fixed, step)
    module = program.module()
    compare(fixed, lambda *inputs: module(*inputs)["scores"], step)
    content = io.BytesIO()
    torch.export.save(program, content)
    with zipfile.ZipFile(content, "a") as archive:
        folder = _folder(archive)
        archive.writestr(folder + _DESCRIPTION, description.to_json())
        archive.writestr(folder + _CHECKSUM, _digest(archive))
    write_bytes(output, content.getvalue())
    return description


def check_output(output: str | os.PathLike) -> None:
    """Raises ``InputError`` for a file name of another kind."""
    if not os.fspath(output).endswith(SUFFIX):
        raise InputError(f"{os.fspath(output)}: the file name must end in {SUFFIX}")


def _folder(archive: zipfile.ZipFile) -> str:
    """Returns the folder that all members are in, with a slash."""
    return archive.namelist()[0].partition("/")[0] + "/"


def _digest(archive: zipfile.ZipFile) -> str:
    """Returns the SHA-256 of all members but the checksum."""
    digest = hashlib.sha256()
    for name in archive.namelist():
        if not name.endswith(_CHECKSUM):
            digest.update(name.encode() + b"\0" + archive.read(name))
    return digest.hexdigest()


class TorchModel(OnnxModel):
    """An exported program; called with a batch, it returns what the original model returns."""

    def _open(self, path: str | os.PathLike, precision: str) -> str:
        source = os.fspath(path)
        if precision != "fp32":
            raise InputError(f"{source} is computed in fp32, not {precision}")
        said = _checked_description(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(Path(path))
        self._program = program.module()
        self._inputs = INPUTS[: len(program.graph_signature.user_inputs)]
        return said

    @torch.no_grad()
    def compute(self, feeds: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        return self._program(*(torch.from_numpy(feeds[name]) for name in self._inputs))


def _checked_description(path: str | os.PathLike) -> str:
    """Returns the text of a file's description.

    Raises:
        InputError: The file is missing, damaged or of another origin.
    """
    source = os.fspath(path)
    try:
        with zipfile.ZipFile(path) as archive:
            folder = _folder(archive)
            said, stored = (archive.read(folder + name).decode() for name in (_DESCRIPTION, _CHECKSUM))
            found = _digest(archive)
    except OSError as error:
        raise InputError(f"{source} cannot be read: {error.strerror}") from error
    except (IndexError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{source} is not a model that solo-d2 export has written, or it is damaged"
        ) from error
    if found != stored:
        raise InputError(f"{source} is damaged: its checksum differs; copy or export it again")
    return said
