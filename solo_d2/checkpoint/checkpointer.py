"""Checkpoints that are whole or absent, and that say plainly why they do not fit."""

import os
import pickle
import zipfile

import torch

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from solo_d2.structures.errors import InputError

from .torchvision_resnet import is_torchvision_resnet, to_native

_MAX_NAMES_SHOWN = 4


class SoloCheckpointer(DetectionCheckpointer):
    """``DetectionCheckpointer`` with atomic files, plain errors and no executable pickles.

    Args:
        model: the model, possibly inside ``DistributedDataParallel``.
        save_dir: folder of the checkpoints; "" where nothing is saved.
        exact: a weight whose shape differs from the model's is an error. Without it such weights
            stay at their initial values with a warning (fine-tuning on other classes).
        resumable: whether saved files count as the run's last checkpoint for ``--resume``.
        checkpointables: further objects with ``state_dict`` to save and restore; their state
            has to consist of tensors and plain Python values.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        save_dir: str = "",
        *,
        exact: bool = False,
        resumable: bool = True,
        **checkpointables,
    ):
        super().__init__(model, save_dir, save_to_disk=comm.is_main_process(), **checkpointables)
        self.exact = exact
        self.resumable = resumable

    def save(self, name: str, **kwargs) -> None:
        """Writes ``save_dir/name.pth``; a crash meanwhile leaves the former file, if any.

        Args:
            name: file name without ".pth".
            kwargs: plain values to store beside the model.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict(), **kwargs}
        for key, checkpointable in self.checkpointables.items():
            data[key] = checkpointable.state_dict()
        path = os.path.join(self.save_dir, f"{name}.pth")
        self.logger.info("Saving checkpoint to %s", path)
        save_atomically(data, path)
        if self.resumable:
            self.tag_last_checkpoint(f"{name}.pth")

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Notes which file ``--resume`` continues from, atomically."""
        path = os.path.join(self.save_dir, "last_checkpoint")
        with open(f"{path}.tmp", "w") as f:
            f.write(last_filename_basename)
        os.replace(f"{path}.tmp", path)

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict:
        """Continues from the last checkpoint in ``save_dir``, or loads the weights of ``path``.

        Args:
            path: weights for a fresh start; "" for none.
            resume: look for a last checkpoint first; without one a warning says so.

        Returns:
            what the file holds beyond the model and the checkpointables.
        """
        if resume and self.has_checkpoint():
            self.exact = True
            return self.load(self.get_checkpoint_file())
        if resume:
            self.logger.warning(
                "--resume: no last checkpoint in %s; starting from %s",
                self.save_dir,
                path or "random weights",
            )
        return self.load(path, checkpointables=[])

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict:
        """Loads a weight file.

        Args:
            path: a ``.pth`` or ``.pkl`` file, or an address that Detectron2's PathManager knows;
                "" loads nothing.
            checkpointables: names of the further objects to restore; None: all.

        Returns:
            what the file holds beyond the model and the checkpointables.

        Raises:
            InputError: if the file is missing, truncated, no checkpoint, or made for another
                model or (with ``exact``) for other classes.
        """
        if path and "?" not in path and not path.endswith(".pkl"):
            self._check_fit(path, read_checkpoint(path))
        elif path and path.endswith(".pkl"):
            _local_file(path)
        return super().load(path, checkpointables)

    def _load_file(self, filename: str) -> dict:
        """Reads a local file; ``.pkl`` in Detectron2's own way."""
        if filename.endswith(".pkl"):
            return super()._load_file(filename)
        checkpoint = read_checkpoint(filename)
        return checkpoint if "model" in checkpoint else {"model": checkpoint}

    def _check_fit(self, path: str, checkpoint: dict) -> None:
        """Compares names and shapes of the file's weights with the model's."""
        weights = checkpoint.get("model", checkpoint)
        if not isinstance(weights, dict):
            raise InputError(f"{path} is no checkpoint: it holds no dictionary of weights")
        if checkpoint.get("matching_heuristics"):
            return
        weights = {name.removeprefix("module."): value for name, value in weights.items()}
        own = self.model.state_dict()
        shared = [name for name in own if name in weights]
        if not shared:
            raise InputError(
                f"{path} was made for another model: none of its {len(weights)} weights has the "
                f"name of one of this model's {len(own)}. Check MODEL.META_ARCHITECTURE and "
                "MODEL.WEIGHTS, or convert the file first."
            )
        misfits = [
            f"{name} {tuple(weights[name].shape)} in the file, {tuple(own[name].shape)} here"
            for name in shared
            if tuple(weights[name].shape) != tuple(own[name].shape)
        ]
        if not misfits:
            return
        shown = "; ".join(misfits[:_MAX_NAMES_SHOWN])
        if len(misfits) > _MAX_NAMES_SHOWN:
            shown += f"; and {len(misfits) - _MAX_NAMES_SHOWN} more"
        if self.exact:
            raise InputError(
                f"{path} does not fit this config: {shown}. If these are the last layers, the "
                "number of classes (NUM_CLASSES) differs from the one the file was trained with."
            )
        self.logger.warning(
            "%s has other shapes than the model, these layers keep their initial values: %s",
            path,
            shown,
        )


def save_atomically(data: dict, path: str) -> None:
    """``torch.save`` into a temporary neighbour that then takes the file's place."""
    temporary = f"{path}.tmp"
    with open(temporary, "wb") as f:
        torch.save(data, f)
        f.flush()
        os.fsync(f.fileno())
    os.replace(temporary, path)


def read_checkpoint(path: str) -> dict:
    """Reads a checkpoint of tensors and plain values onto the CPU; never runs code of the file.

    Args:
        path: a file, or an address that Detectron2's PathManager knows.

    Returns:
        the file's dictionary.

    Raises:
        InputError: if the file is missing, damaged, no checkpoint or would execute code.
    """
    local = _local_file(path)
    try:
        checkpoint = torch.load(local, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(local))
    except (RuntimeError, EOFError, pickle.UnpicklingError, KeyError, ValueError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as a checkpoint ({_first_line(error)}): it is truncated, "
            "damaged or no weight file. Copy it again or choose another one."
        ) from error
    if not isinstance(checkpoint, dict):
        raise InputError(f"{path} is no checkpoint: it holds a {type(checkpoint).__name__}")
    if is_torchvision_resnet(checkpoint):
        return {"model": to_native(checkpoint)}
    return checkpoint


def _local_file(path: str) -> str:
    """The file behind a path, or behind an address after downloading it."""
    if "://" in path:
        try:
            return PathManager.get_local_path(path)
        except Exception as error:  # whatever the address's handler raises, the remedy is the same
            raise InputError(
                f"{path} could not be downloaded ({_first_line(error)}). Download it elsewhere and "
                "set MODEL.WEIGHTS to the file, or to '' for random weights."
            ) from error
    if not os.path.isfile(path):
        raise InputError(f"Weight file {path} does not exist. Check MODEL.WEIGHTS or --resume.")
    return path


def _first_line(error: Exception) -> str:
    """The start of an error's text, short enough to stand inside one line."""
    text = (str(error) or type(error).__name__).splitlines()[0]
    return text.split(". ")[0][:120].rstrip(".")
