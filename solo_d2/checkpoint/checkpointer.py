"""Checkpoints that are whole or absent, of any known layout, and that say plainly why they do not fit."""

import os
from urllib.parse import urlparse

import torch

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils import comm
from solo_d2.utils.atomic_file import write_text
from solo_d2.utils.errors import InputError

from . import compatibility as fits
from .formats import ADAPTERS
from .native import PREPROCESSING_KEY, NativeWeights, read_native
from .preprocessing import Preprocessing
from .weight_file import read_weight_file, save_atomically


class SoloCheckpointer(DetectionCheckpointer):
    """``DetectionCheckpointer`` with foreign layouts, atomic files, plain errors and no executable pickles.

    Weights load strictly. A file may lack whole parts of the model, as a backbone's lacks the head, but
    no single weights; and the layer with a row per class may differ in its number of rows, as on other
    classes. Both are reported, and with ``exact`` both are errors.

    Args:
        model: the model, possibly inside ``DistributedDataParallel``.
        save_dir: folder of the checkpoints; "" where nothing is saved.
        exact: every weight of the model has to be in the file, with the same shape.
        resumable: whether saved files count as the run's last checkpoint for ``--resume``.
        checkpointables: further objects with ``state_dict`` to save and restore; their state
            has to consist of tensors and plain Python values.
        preprocessing: what the config does to images; saved with the weights, and compared with what
            loaded ones expect.
        group: the config group of the meta-architecture, such as "MODEL.SOLOV2", for messages.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        save_dir: str = "",
        *,
        exact: bool = False,
        resumable: bool = True,
        preprocessing: Preprocessing | None = None,
        group: str = "MODEL",
        **checkpointables,
    ):
        super().__init__(model, save_dir, save_to_disk=comm.is_main_process(), **checkpointables)
        self.exact = exact
        self.resumable = resumable
        self.preprocessing = preprocessing or Preprocessing()
        self.group = group
        self._opened: dict | None = None

    def save(self, name: str, **kwargs) -> None:
        """Writes ``save_dir/name.pth``; a crash meanwhile leaves the former file, if any.

        What the config does to images is written with the weights, as converted files have it.

        Args:
            name: file name without ".pth".
            kwargs: plain values to store beside the model.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        expected = {PREPROCESSING_KEY: self.preprocessing.as_dict()}
        data = {"model": self.model.state_dict(), **expected, **kwargs}
        for key, checkpointable in self.checkpointables.items():
            data[key] = checkpointable.state_dict()
        path = os.path.join(self.save_dir, f"{name}.pth")
        self.logger.info("Saving checkpoint to %s", path)
        save_atomically(data, path)
        if self.resumable:
            self.tag_last_checkpoint(f"{name}.pth")

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Notes which file ``--resume`` continues from, atomically."""
        write_text(os.path.join(self.save_dir, "last_checkpoint"), [last_filename_basename])

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
        """Loads a weight file of any known layout; see :mod:`solo_d2.checkpoint.formats`.

        Args:
            path: a ``.pth``, ``.pkl`` or ``.safetensors`` file, or an address that Detectron2's
                PathManager knows; "" loads nothing.
            checkpointables: names of the further objects to restore; None: all.

        Returns:
            what the file holds beyond the model and the checkpointables.

        Raises:
            InputError: if the file is missing, truncated, no checkpoint, made for another
                model or (with ``exact``) for other classes, or contradicts the config.
        """
        if path and not urlparse(path).query:
            native = read_native(path).placed_in(self.model.state_dict())
            if not native.heuristics:
                self.check(path, native)
                self._opened = {**native.rest, "model": native.weights}
        try:
            return super().load(path, checkpointables)
        finally:
            self._opened = None

    def _load_file(self, filename: str) -> dict:
        """What :meth:`load` has read already, or a file whose names Detectron2 has to match."""
        if self._opened is not None:
            return self._opened
        native = read_native(filename)
        return {**native.rest, "model": native.weights, "matching_heuristics": True}

    def _load_model(self, checkpoint: dict):
        """Copies the weights that fit; :meth:`load` has reported the others."""
        if self._opened is None:
            return super()._load_model(checkpoint)
        weights = checkpoint.pop("model")
        own = self.model.state_dict()
        fitting = {n: w for n, w in weights.items() if n in own and w.shape == own[n].shape}
        self.model.load_state_dict(fitting, strict=False)
        return None

    def check(self, path: str, native: NativeWeights) -> None:
        """Raises for weights that may not be loaded and reports on those that may."""
        fit = fits.compare(native.weights, self.model.state_dict())
        fits.require_overlap(fit, path, ", ".join(adapter.title for adapter in ADAPTERS))
        wrong = fits.problems(
            fit,
            group=self.group,
            exact=self.exact,
            whole_model=native.whole_model,
            folded_statistics=native.folded_statistics,
        )
        if wrong:
            raise InputError(f"{path} does not fit this config: {'; '.join(wrong)}")
        origin = f" ({native.layout.title})" if native.layout else ""
        self.logger.info("%s%s: %d weights match", path, origin, len(fit.matched))
        for note in native.notes:
            self.logger.info("%s: %s", path, note)
        for remark in fits.remarks(fit, folded_statistics=native.folded_statistics):
            self.logger.warning("%s: %s", path, remark)
        for difference in native.preprocessing.differences(self.preprocessing):
            self.logger.warning("%s: %s", path, difference)
        size = native.preprocessing.size_difference(self.preprocessing)
        if size:
            self.logger.info("%s: %s", path, size)


def read_checkpoint(path: str) -> dict:
    """Reads a checkpoint as it is; never runs code of the file.

    Args:
        path: a file, or an address that Detectron2's PathManager knows.

    Returns:
        the file's dictionary.

    Raises:
        InputError: if the file is missing, damaged, no checkpoint or would execute code.
    """
    return read_weight_file(path)
