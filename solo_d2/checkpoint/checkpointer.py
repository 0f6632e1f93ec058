"""Atomic checkpoints, foreign weight formats, and one-line errors for weights that do not fit."""

import math
import os
from collections.abc import Mapping
from urllib.parse import urlparse

import torch

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils import comm
from solo_d2.utils.addresses import refuse_unsafe_address
from solo_d2.utils.atomic_file import write_text
from solo_d2.utils.class_names import describe_difference, list_names
from solo_d2.utils.errors import InputError

from .compatibility import compare, find_problems, find_remarks, require_overlap
from .file_names import LAST_CHECKPOINT, iteration_of
from .formats import ADAPTERS
from .model_card import CARD_KEY, ModelCard
from .native import PREPROCESSING_KEY, NativeWeights, read_native
from .preprocessing import Preprocessing
from .weight_file import require_intact, save_atomically
from .weight_keys import DeclaredWeights


class Checkpointer(DetectionCheckpointer):
    """``DetectionCheckpointer`` with foreign formats, atomic writes, one-line errors and safe pickles.

    Weights load strictly. A file may lack whole parts of the model, as a backbone's file lacks the head, but
    not single weights. The layer with a row per class may have another number of rows. Both are reported;
    with ``exact`` both are errors.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        save_dir: str = "",
        *,
        exact: bool = False,
        resumable: bool = True,
        preprocessing: Preprocessing | None = None,
        card: ModelCard | None = None,
        preprocessing_keys: Mapping[str, str] | None = None,
        **checkpointables,
    ):
        """
        Args:
            model: The model, possibly inside ``DistributedDataParallel``.
            save_dir: Folder of the checkpoints; "" to save nothing.
            exact: Whether the file must have every weight of the model, with the same shape.
            resumable: Whether ``--resume`` continues from saved files.
            preprocessing: The config's preprocessing of images. It is saved with the weights and compared
                with the preprocessing that loaded weights expect.
            card: Classes and origin of a model in training, saved with the weights. A resumed training must
                have the same classes.
            preprocessing_keys: Config key of each of its fields, for messages.
            **checkpointables: Other objects with ``state_dict`` to save and restore. Their state must
                consist of tensors and plain Python values.
        """
        super().__init__(model, save_dir, save_to_disk=comm.is_main_process(), **checkpointables)
        self.exact = exact
        self.resumable = resumable
        self.preprocessing = preprocessing or Preprocessing()
        self.card = card
        self._preprocessing_keys = preprocessing_keys or {}
        self._opened: dict | None = None

    def save(self, name: str, **kwargs) -> None:
        """Writes ``save_dir/name.pth`` atomically, with preprocessing and model card next to the weights.

        Args:
            name: File name without ".pth".
            **kwargs: Plain values to save next to the model.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        facts = {PREPROCESSING_KEY: self.preprocessing.as_dict()}
        if self.card:
            facts[CARD_KEY] = self.card.as_dict()
        data = {"model": self.model.state_dict(), **facts, **kwargs}
        for key, checkpointable in self.checkpointables.items():
            data[key] = checkpointable.state_dict()
        os.makedirs(self.save_dir, exist_ok=True)  # it may have been removed since the start
        path = os.path.join(self.save_dir, f"{name}.pth")
        self.logger.info("Saving checkpoint to %s", path)
        save_atomically(data, path)
        if self.resumable:
            self.tag_last_checkpoint(f"{name}.pth")

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Records atomically the file that ``--resume`` continues from."""
        write_text(os.path.join(self.save_dir, LAST_CHECKPOINT), [last_filename_basename])

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict:
        """Resumes from the last checkpoint in ``save_dir``, or loads the weights of ``path``.

        If the last checkpoint is damaged or missing, a warning says so and the one before it is used.

        Args:
            path: Weights for a fresh start; "" for none.
            resume: Whether to look for a last checkpoint first; if none exists, a warning is logged.

        Returns:
            What the file holds beyond the model and the checkpointables.

        Raises:
            InputError: No checkpoint can be read, or a training is to continue from one of weights only or of
                other classes.
        """
        if resume and self.has_checkpoint():
            self.exact = True
            path, native = self._last_readable()
            missing = [name for name in self.checkpointables if name not in native.rest]
            if missing:
                raise InputError(
                    f"{path} has no state of the {missing[0]}, so --resume cannot continue from it: leave "
                    f"--resume out and start a new training with MODEL.WEIGHTS {path} and another OUTPUT_DIR"
                )
            if difference := self._other_classes(path, native.card):
                raise InputError(
                    f"--resume: {path} was trained on other classes ({difference}): give the data of that "
                    "training, or leave --resume out and start a new training in another OUTPUT_DIR"
                )
            return self.load(path, native=native)
        if resume:
            self.logger.warning(
                "--resume: no last checkpoint in %s; starting from %s",
                self.save_dir,
                path or "random weights",
            )
        return self.load(path, checkpointables=[])

    def _other_classes(self, path: str, stored: ModelCard) -> str:
        """Describes how a file's classes differ from those of this training; "" if equal or unknown."""
        if not (self.card and self.card.categories and stored.categories):
            return ""
        pairs = (
            (stored.thing_classes, self.card.thing_classes),
            (stored.stuff_classes, self.card.stuff_classes),
        )
        titles = (os.path.basename(path), "the training data")
        return next(filter(None, (describe_difference(*pair, titles) for pair in pairs)), "")

    def _last_readable(self) -> tuple[str, NativeWeights]:
        """Returns the newest checkpoint that is not damaged, and its content."""
        problems = []
        for path in self._newest_first():
            try:
                require_intact(path)
                native = read_native(path)
            except InputError as error:
                problems.append(str(error))
                continue
            if problems:
                self.logger.warning("%s; resuming from %s, which was saved before it", problems[0], path)
            return path, native
        raise InputError(
            f"{problems[0]}; there is no earlier checkpoint to resume from: start again in another OUTPUT_DIR"
        )

    def _newest_first(self) -> list[str]:
        """Returns the last checkpoint, then those saved before it."""
        last = self.get_checkpoint_file()
        limit = _age_of(last)
        before = [path for path in self.get_all_checkpoint_files() if _age_of(path) < limit]
        return [last, *sorted(before, key=_age_of, reverse=True)]

    def load(
        self, path: str, checkpointables: list[str] | None = None, *, native: NativeWeights | None = None
    ) -> dict:
        """Loads a weight file of any known format; see :mod:`solo_d2.checkpoint.formats`.

        Args:
            path: A ``.pth``, ``.pkl`` or ``.safetensors`` file, or an address that Detectron2's PathManager
                knows; "" loads nothing.
            checkpointables: Names of the other objects to restore; None for all.
            native: What the file holds, if it was read before.

        Returns:
            What the file holds beyond the model and the checkpointables.

        Raises:
            InputError: If the file is missing, truncated or not a checkpoint, or was made for another model
                or, with ``exact``, for other classes.
        """
        refuse_unsafe_address(path)
        # Detectron2 matches the names of addresses with a query, such as "?matching_heuristics=True".
        if path and not urlparse(path).query:
            native = (native or read_native(path)).placed_in(self.model.state_dict())
            if not native.heuristics:
                self.check(path, native)
                self._opened = {**native.rest, "model": native.weights}
        try:
            return super().load(path, checkpointables)
        finally:
            self._opened = None

    def _load_file(self, filename: str) -> dict:
        """Returns the content that :meth:`load` has read, or a file whose names Detectron2 must match."""
        if self._opened is not None:
            return self._opened
        native = read_native(filename)
        return {**native.rest, "model": native.weights, "matching_heuristics": True}

    def _load_model(self, checkpoint: dict):
        """Copies the weights that fit; :meth:`load` has already reported the others."""
        if self._opened is None:
            return super()._load_model(checkpoint)
        weights = checkpoint.pop("model")
        own = self.model.state_dict()
        fitting = {n: w for n, w in weights.items() if n in own and w.shape == own[n].shape}
        self.model.load_state_dict(fitting, strict=False)
        return None

    def check(self, path: str, native: NativeWeights) -> None:
        """Raises ``InputError`` for weights that must not be loaded; logs remarks about the others.

        Args:
            path: Source of the weights, for messages.
            native: The weights.
        """
        found = compare(native.weights, self.model.state_dict(), DeclaredWeights(type(self.model)))
        require_overlap(found, path, ", ".join(adapter.title for adapter in ADAPTERS))
        problems = find_problems(
            found,
            exact=self.exact,
            whole_model=native.whole_model,
            folded_statistics=native.folded_statistics,
        )
        if problems:
            if names := native.card.thing_classes:
                problems.append(f"it names {len(names)} classes: {list_names(names)}")
            raise InputError(f"{path} does not fit this config: {'; '.join(problems)}")
        origin = f" ({native.format.title})" if native.format else ""
        self.logger.info("%s%s: %d weights match", path, origin, len(found.matched))
        for note in native.notes:
            self.logger.info("%s: %s", path, note)
        if difference := self._other_classes(path, native.card):
            self.logger.warning(
                "%s: trained on other classes, which a new training replaces: %s", path, difference
            )
        for remark in find_remarks(found, folded_statistics=native.folded_statistics):
            self.logger.warning("%s: %s", path, remark)
        for difference in native.preprocessing.differences(self.preprocessing, self._preprocessing_keys):
            self.logger.warning("%s: %s", path, difference)
        size = native.preprocessing.size_difference(self.preprocessing, self._preprocessing_keys)
        if size:
            self.logger.info("%s: %s", path, size)


def _age_of(path: str) -> float:
    """Returns the iteration in a checkpoint's name; infinity for one that cannot be resumed."""
    iteration = iteration_of(path)
    return math.inf if iteration is None else iteration
