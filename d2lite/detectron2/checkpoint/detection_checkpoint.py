"""The checkpointer of detection models: reads weight files without running code in them."""

import re
from typing import Any
from urllib.parse import parse_qs, urlparse

import torch
from fvcore.common.checkpoint import Checkpointer
from torch import nn

from detectron2.utils import comm
from detectron2.utils.file_io import PathManager

from .c2_model_loading import align_and_update_state_dicts


class DetectionCheckpointer(Checkpointer):
    """fvcore's ``Checkpointer`` for ``torch.save`` files that hold nothing but weights and plain values.

    A path may end in ``?matching_heuristics=True``, which matches parameters by the ends of their names.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        save_to_disk: bool | None = None,
        **checkpointables: Any,
    ):
        """
        Args:
            model: The model; the module inside a ``DistributedDataParallel`` is used.
            save_dir: Folder for new checkpoints.
            save_to_disk: Whether ``save`` writes; None means on the main process only.
            checkpointables: Objects with ``state_dict`` and ``load_state_dict``, by the name under
                which their state is stored.
        """
        save_to_disk = comm.is_main_process() if save_to_disk is None else save_to_disk
        super().__init__(model, save_dir, save_to_disk=save_to_disk, **checkpointables)
        self.path_manager = PathManager
        self._matching_heuristics = False

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Loads a checkpoint into the model and the checkpointables.

        Args:
            path: Path or address; "" loads nothing.
            args: Passed on to fvcore's ``Checkpointer.load``.
            kwargs: Passed on to fvcore's ``Checkpointer.load``.

        Returns:
            Everything in the checkpoint but the states of the model and the checkpointables.

        Raises:
            AssertionError: The file does not exist.
            ValueError: The file is damaged, or would run code.
        """
        if path:
            parsed = urlparse(path)
            query = parse_qs(parsed.query)
            self._matching_heuristics = query.pop("matching_heuristics", ["False"]) == ["True"]
            if query:
                raise ValueError(f"Unsupported query remaining: '{path}'")
            path = parsed._replace(query="").geturl() if parsed.query else path
        return super().load(path, *args, **kwargs)

    def _load_file(self, filename: str) -> dict[str, Any]:
        try:
            with PathManager.open(filename, "rb") as file:
                loaded = torch.load(file, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception as error:  # a damaged file can fail in any way
            raise ValueError(_describe_failure(filename, error)) from error
        if not isinstance(loaded, dict):
            raise ValueError(
                f"Cannot load checkpoint '{filename}': expected a dict of weights, "
                f"found a {type(loaded).__name__}."
            )
        loaded = loaded if "model" in loaded else {"model": loaded}
        if self._matching_heuristics:
            loaded["matching_heuristics"] = True
        return loaded

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        if checkpoint.get("matching_heuristics", False):
            self._convert_ndarray_to_tensor(checkpoint["model"])
            checkpoint["model"] = align_and_update_state_dicts(self.model.state_dict(), checkpoint["model"])
        incompatible = super()._load_model(checkpoint)
        own_buffers = dict(self.model.named_buffers(recurse=False))
        for name in ("pixel_mean", "pixel_std"):  # come from the config and may be absent from files
            if name in own_buffers and name in incompatible.missing_keys:
                incompatible.missing_keys.remove(name)
        return incompatible


def _describe_failure(filename: str, error: Exception) -> str:
    """Returns one line about a file that could not be read."""
    refused = re.search(r"GLOBAL ([\w.]+)", str(error))
    if refused:
        return (
            f"Refused to load checkpoint '{filename}': it asks for the Python object {refused.group(1)}, "
            "which could run code. Convert the file to plain weights first."
        )
    if filename.endswith(".pkl"):
        return (
            f"Cannot load checkpoint '{filename}': d2lite reads no pickles of the Detectron2 model zoo. "
            "Load it with solo_d2, or use the real Detectron2."
        )
    detail = (str(error).splitlines() or [""])[0][:120]
    return (
        f"Cannot load checkpoint '{filename}': the file is truncated or not a checkpoint "
        f"({type(error).__name__}: {detail}). Download or copy it again."
    )
