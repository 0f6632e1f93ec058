"""Runs an exported OpenVINO IR; the results are those of the ONNX file that it comes from."""

import logging
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from solo_d2.utils.errors import InputError

from . import checksum
from .onnx_file import required
from .onnx_runtime import OnnxModel, read_content

logger = logging.getLogger(__name__)

SUFFIX, WEIGHTS_SUFFIX = ".xml", ".bin"
# Places of the description and the checksum in the model's rt_info.
DESCRIPTION_PATH, CHECKSUM_PATH = ["solo_d2", "description"], ["solo_d2", "checksum"]
CHECKSUM = re.compile(rb'<checksum value="([0-9a-f]{64})" ?/>')
_HINT = "INFERENCE_PRECISION_HINT"
_TYPES = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
# OpenVINO's mark of an operator that keeps float32 whatever the precision is.
_KEEPS_FLOAT = "precise_0"


def following(nodes: Iterable[Any]) -> list[Any]:
    """Returns operators of an ``openvino.Model`` and all that depend on them."""
    found: dict[str, Any] = {}
    left = list(nodes)
    while left:
        node = left.pop()
        if node.get_name() not in found:
            found[node.get_name()] = node
            left += [target.get_node() for output in node.outputs() for target in output.get_target_inputs()]
    return list(found.values())


def compile_model(model: Any, precision: str) -> Any:
    """Returns an ``openvino.CompiledModel`` on the CPU, with as many threads as PyTorch.

    Args:
        model: ``openvino.Model``. Selection, NMS and masks keep float32: areas and counts need it.
        precision: "fp32", "bf16" or "fp16" for the network. A CPU without such instructions computes in fp32.
    """
    openvino = required("openvino")
    if precision != "fp32":
        for node in following(one for one in model.get_ops() if one.get_type_name() == "TopK"):
            node.get_rt_info()[_KEEPS_FLOAT] = ""
    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        _HINT: getattr(openvino.Type, _TYPES[precision]),
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # a pinned thread waits if another process keeps its core busy
    }
    return openvino.Core().compile_model(model, "CPU", settings)


class OpenvinoModel(OnnxModel):
    """An exported IR; called with a batch, it returns what the original model returns."""

    def _open(self, path: str | os.PathLike, precision: str) -> str:
        source = os.fspath(path)
        if precision not in _TYPES:
            raise InputError(f"precision must be one of {', '.join(_TYPES)}, not {precision!r}")
        openvino = required("openvino")
        xml, weights = read_content(path), read_content(Path(path).with_suffix(WEIGHTS_SUFFIX))
        checksum.check(xml, CHECKSUM, f"{source} (with its {WEIGHTS_SUFFIX} file)", weights)
        try:
            model = openvino.Core().read_model(xml, weights)
            self._session = compile_model(model, precision)
        except RuntimeError as error:
            reason = (str(error) or type(error).__name__).splitlines()[-1].strip()
            raise InputError(
                f"{source} cannot be read by OpenVINO {openvino.__version__}: {reason}"
            ) from error
        if self._session.get_property(_HINT) != getattr(openvino.Type, _TYPES[precision]):
            logger.warning("this CPU has no %s for OpenVINO, which computes in fp32", precision)
        self._inputs = [one.get_any_name() for one in self._session.inputs]
        self._outputs = [one.get_any_name() for one in self._session.outputs]
        return model.get_rt_info(DESCRIPTION_PATH).value if model.has_rt_info(DESCRIPTION_PATH) else ""

    def compute(self, feeds: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        found = self._session(dict(feeds))
        return {name: torch.from_numpy(found[name]) for name in self._outputs}
