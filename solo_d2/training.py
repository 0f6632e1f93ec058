"""Training and evaluation from Python, with the settings of the commands ``train`` and ``eval``."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from .checkpoint.file_names import AVERAGED, FINAL
from .config.loading import find_config
from .data.datasets import register_all
from .engine.dataset_checks import class_count_key
from .engine.run_config import build_parser, read_cfg
from .predictor import Predictor
from .utils.errors import InputError

Config = CfgNode | str | os.PathLike
# Name of a registered data set, or annotation file, image folder and, where it is panoptic, PNG folder.
Data = str | tuple[str | os.PathLike, ...]
_PARTS = ("json", "images", "panoptic")


@dataclass(frozen=True)
class Result:
    """A finished training.

    Attributes:
        output_dir: Its folder.
        metrics: Results of the last evaluation, such as "segm/AP"; None where undefined, {} without one.
    """

    output_dir: str
    metrics: dict[str, float | None]

    @property
    def config(self) -> str:
        """The complete config, a file."""
        return os.path.join(self.output_dir, "config.yaml")

    @property
    def weights(self) -> str:
        """The trained weights, a file: with ``SOLVER.EMA`` the averaged ones, which were evaluated."""
        averaged = os.path.join(self.output_dir, f"{AVERAGED}.pth")
        return averaged if os.path.isfile(averaged) else os.path.join(self.output_dir, f"{FINAL}.pth")

    def predictor(self, **options: Any) -> Predictor:
        """Loads the trained model.

        Args:
            **options: Arguments of :class:`Predictor`.
        """
        return Predictor(self.config, self.weights, **options)


def train(
    config: Config = "",
    *,
    train_data: Data | None = None,
    val_data: Data | None = None,
    output_dir: str | os.PathLike = "",
    resume: bool = False,
    num_gpus: int = 1,
    opts: Sequence = (),
) -> Result:
    """Trains a model as the command ``solo-d2 train`` does.

    Args:
        config: Config file, its name (such as "quick/photos"), or a config node. Own data without one get a
            small config.
        train_data: Own data, such as ("train.json", "train/"), or the name of a registered data set, whose
            classes the model gets. None for the config's.
        val_data: The same for evaluation. None with ``train_data`` trains without evaluation.
        output_dir: Folder of the results, by default the config's.
        resume: Whether to continue the training in that folder.
        num_gpus: Processes. With more than one, the calling script needs ``if __name__ == "__main__":``, and
            data sets that it registers are not known to them.
        opts: Pairs "KEY", value, ... that override the config.

    Returns:
        Folder and metrics.

    Raises:
        InputError: A setting or file is wrong.
        KeyboardInterrupt: The training was stopped, after a checkpoint.
    """
    from .engine.run import run_here  # what only training needs takes a second to import

    named = [] if train_data is None or val_data is not None else ["DATASETS.TEST", ()]
    arguments = _arguments(config, [("train", train_data), ("val", val_data)], output_dir, [*named, *opts])
    arguments.resume, arguments.num_gpus = resume, num_gpus
    if isinstance(train_data, str):
        arguments.opts = [*_class_count(arguments, train_data), *arguments.opts]
    outcome = run_here(arguments)
    return Result(outcome.output_dir, outcome.metrics)


def evaluate(
    config: Config,
    weights: str | os.PathLike = "",
    *,
    data: Data | None = None,
    output_dir: str | os.PathLike = "",
    opts: Sequence = (),
) -> dict[str, float | None]:
    """Evaluates a model as the command ``solo-d2 eval`` does.

    Args:
        config: Config file, name of a published model, or a config node.
        weights: Weight file; if empty, ``MODEL.WEIGHTS``.
        data: Own data, such as ("val.json", "val/"), or the name of a registered data set. None for the
            config's.
        output_dir: Folder of the results, by default the config's.
        opts: Pairs "KEY", value, ... that override the config.

    Returns:
        Metrics such as "segm/AP"; None where undefined.

    Raises:
        InputError: A setting or file is wrong.
    """
    from .engine.run import run_here

    named = ["MODEL.WEIGHTS", os.fspath(weights)] if weights else []
    arguments = _arguments(config, [("val", data)], output_dir, [*named, *opts])
    arguments.eval_only = True
    return run_here(arguments).metrics


def _arguments(
    config: Config, data: Sequence[tuple[str, Data | None]], output_dir: str | os.PathLike, opts: Sequence
) -> argparse.Namespace:
    """Returns what the command line would be."""
    arguments = build_parser().parse_args([])
    arguments.config_file = config if isinstance(config, CfgNode) or not config else find_config(config)
    arguments.opts = ["OUTPUT_DIR", os.fspath(output_dir)] if output_dir else []
    for part, given in data:
        if isinstance(given, str):
            arguments.opts += [f"DATASETS.{'TEST' if part == 'val' else 'TRAIN'}", (given,)]
        elif given is not None:
            if not 2 <= len(given) <= len(_PARTS):
                raise InputError(f"{part} data {given!r}: give an annotation file and its image folder")
            for kind, path in zip(_PARTS, given, strict=False):
                setattr(arguments, f"{part}_{kind}", os.fspath(path))
    arguments.opts += opts
    return arguments


def _class_count(arguments: argparse.Namespace, name: str) -> list:
    """Returns the option for the number of classes of a registered data set; [] if it is not known."""
    register_all()
    if name in DatasetCatalog and not MetadataCatalog.get(name).get("thing_classes"):
        DatasetCatalog.get(name)  # some tell their classes when they are read
    key, classes = class_count_key(read_cfg(arguments)), MetadataCatalog.get(name).get("thing_classes")
    return [key, len(classes)] if key and classes else []
