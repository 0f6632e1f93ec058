"""The checkpointer of detection models: reads Detectron2's files without running code in them."""

import os
import pickle
import re
from urllib.parse import parse_qs, urlparse

import torch
from fvcore.common.checkpoint import Checkpointer

from detectron2.checkpoint import restricted_pickle
from detectron2.checkpoint.c2_model_loading import align_and_update_state_dicts
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager

_REFUSAL = "Refused to load checkpoint '{}': it asks for {}, which could run code."


class DetectionCheckpointer(Checkpointer):
    """fvcore's ``Checkpointer`` that also reads model zoo and Caffe2 files.

    Files: ``.pth`` as ``torch.save`` writes them, read with ``weights_only``; ``.pkl`` of the
    model zoo or of Caffe2, read by ``restricted_pickle``. A path may end in
    ``?matching_heuristics=True``, which matches parameters by the ends of their names.
    """

    def __init__(self, model, save_dir="", *, save_to_disk=None, **checkpointables):
        """
        Args:
            model (nn.Module): the model; the module inside a ``DistributedDataParallel`` is used.
            save_dir (str): folder that is written to.
            save_to_disk (bool, optional): default: on the main process only.
            checkpointables: objects with ``state_dict`` and ``load_state_dict``, by the name under
                which their state is stored.
        """
        save_to_disk = comm.is_main_process() if save_to_disk is None else save_to_disk
        super().__init__(model, save_dir, save_to_disk=save_to_disk, **checkpointables)
        self.path_manager = PathManager
        self._matching_heuristics = False

    def load(self, path, *args, **kwargs):
        """Loads a checkpoint into the model and the checkpointables.

        Args:
            path (str): path or address; empty = nothing is loaded.

        Returns:
            dict: what the checkpoint has beside the model and the checkpointables.

        Raises:
            AssertionError: there is no such file.
            ValueError: the file is damaged, or would run code.
        """
        if path:
            parsed = urlparse(path)
            query = parse_qs(parsed.query)
            self._matching_heuristics = query.pop("matching_heuristics", ["False"]) == ["True"]
            if query:
                raise ValueError(f"Unsupported query remaining: '{path}'")
            path = parsed._replace(query="").geturl() if parsed.query else path
        return super().load(path, *args, **kwargs)

    def _load_file(self, filename):
        try:
            loaded = self._load_pickle(filename) if filename.endswith(".pkl") else None
            loaded = self._torch_load(filename) if loaded is None else loaded
        except OSError:
            raise
        except restricted_pickle.RefusedPickle as error:
            raise ValueError(_REFUSAL.format(filename, error)) from error
        except Exception as error:
            raise ValueError(_describe_damage(filename, error)) from error
        if not isinstance(loaded, dict):
            raise ValueError(
                f"Cannot load checkpoint '{filename}': it holds a {type(loaded).__name__} where a "
                "dict of weights is expected."
            )
        loaded = loaded if "model" in loaded else {"model": loaded}
        if self._matching_heuristics:
            loaded["matching_heuristics"] = True
        return loaded

    def _load_pickle(self, filename) -> dict:
        with PathManager.open(filename, "rb") as file:
            data = restricted_pickle.load(file)
        if not isinstance(data, dict) or ("model" in data and "__author__" in data):
            return data
        blobs = data.get("blobs", data)  # the Caffe2 layout, with or without optimizer state
        weights = {name: blob for name, blob in blobs.items() if not name.endswith("_momentum")}
        return {"model": weights, "__author__": "Caffe2", "matching_heuristics": True}

    def _torch_load(self, f):
        with PathManager.open(f, "rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)

    def _load_model(self, checkpoint):
        if checkpoint.get("matching_heuristics", False):
            self._convert_ndarray_to_tensor(checkpoint["model"])
            checkpoint["model"] = align_and_update_state_dicts(
                self.model.state_dict(),
                checkpoint["model"],
                c2_conversion=checkpoint.get("__author__", None) == "Caffe2",
            )
        incompatible = super()._load_model(checkpoint)
        own_buffers = dict(self.model.named_buffers(recurse=False))
        for name in ("pixel_mean", "pixel_std"):  # come from the config, need not be in files
            if name in own_buffers and name in incompatible.missing_keys:
                incompatible.missing_keys.remove(name)
        return incompatible

    def save(self, name: str, **kwargs) -> None:
        """Writes ``<save_dir>/<name>.pth``, never half of it, and notes it as the last one.

        Args:
            name: file name without ``.pth``.
            kwargs: further things to store.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict()}
        data.update((key, obj.state_dict()) for key, obj in self.checkpointables.items())
        data.update(kwargs)
        basename = f"{name}.pth"
        path = os.path.join(self.save_dir, basename)
        self.logger.info("Saving checkpoint to %s", path)
        with PathManager.open(path + ".tmp", "wb") as file:
            torch.save(data, file)
        os.replace(path + ".tmp", path)
        self.tag_last_checkpoint(basename)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Notes which file ``resume_or_load`` goes on from."""
        path = os.path.join(self.save_dir, "last_checkpoint")
        with PathManager.open(path + ".tmp", "w") as file:
            file.write(last_filename_basename)
        os.replace(path + ".tmp", path)


def _describe_damage(filename: str, error: Exception) -> str:
    """One line for a file that could not be read."""
    refused = re.search(r"GLOBAL ([\w.]+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and refused:
        return _REFUSAL.format(filename, f"the Python object {refused.group(1)}")
    detail = (str(error).splitlines() or [""])[0][:120]
    return (
        f"Cannot load checkpoint '{filename}': the file is truncated or not a checkpoint "
        f"({type(error).__name__}: {detail}). Download or copy it again."
    )
