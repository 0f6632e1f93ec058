"""The pictures that int8 is calibrated with, and what it costs in AP."""

import argparse
import tempfile
from pathlib import Path

import torch

from detectron2.evaluation import inference_on_dataset
from solo_d2.data.datasets.coco_format import read_annotations, register_coco_format
from solo_d2.data.image_paths import IMAGE_SUFFIXES, walk_images
from solo_d2.engine.evaluation_loader import build_test_loader
from solo_d2.evaluation.build import build_evaluator
from solo_d2.predictor import Predictor
from solo_d2.utils.errors import InputError

# More pictures change the ranges of activations little.
_MOST_PICTURES = 64
_DATASET = "export_val"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of int8 to a parser."""
    add = parser.add_argument
    add("--int8", action="store_true", help="quantize convolutions, which needs --calibrate")
    add(
        "--calibrate",
        metavar="DIR",
        help=f"folder of typical pictures for --int8; {_MOST_PICTURES} of them are used",
    )
    add("--val-json", metavar="FILE", help="COCO annotations: print the AP before and after --int8")
    add("--val-images", metavar="DIR", help="their pictures")


def check_flags(arguments: argparse.Namespace) -> None:
    """Raises ``InputError`` for flags that do not fit together, and for paths that do not exist."""
    for flag in ("calibrate", "val_json", "val_images"):
        if getattr(arguments, flag) and not arguments.int8:
            raise InputError(f"--{flag.replace('_', '-')} is for --int8: give both or none")
    if not arguments.int8:
        return
    if not arguments.calibrate:
        raise InputError("--int8 needs --calibrate DIR, a folder of typical pictures")
    find_pictures(arguments.calibrate)
    if bool(arguments.val_json) != bool(arguments.val_images):
        raise InputError("the AP needs both --val-json and --val-images")
    if arguments.val_json:
        read_annotations(arguments.val_json)
        if not Path(arguments.val_images).is_dir():
            raise InputError(f"--val-images {arguments.val_images}: no such folder")


def find_pictures(folder: str) -> list[Path]:
    """Returns pictures of a folder and its subfolders, spread evenly.

    Raises:
        InputError: There are none.
    """
    if not Path(folder).is_dir():
        raise InputError(f"--calibrate {folder}: no such folder")
    found = sorted(walk_images(Path(folder)))
    if not found:
        raise InputError(f"--calibrate {folder}: no pictures there ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return found[:: -(-len(found) // _MOST_PICTURES)]


def read_pictures(predictor: Predictor, folder: str) -> list[torch.Tensor]:
    """Returns the pictures of :func:`find_pictures` as the model gets them, (3, H, W) uint8.

    Raises:
        InputError: One cannot be read.
    """
    return [predictor.load(path)["image"].byte() for path in find_pictures(folder)]


def average_precision(path: str | Path, json_file: str, image_root: str) -> float:
    """Returns the mask AP, in percent, of an exported file.

    Args:
        path: The file.
        json_file: COCO annotations; classes are matched by name.
        image_root: Folder of their pictures.
    """
    predictor = Predictor(path)
    cfg = predictor.cfg
    cfg.DATALOADER.NUM_WORKERS = 0  # a process should not fork once a runtime has threads
    with tempfile.TemporaryDirectory() as folder:
        classes = predictor.class_names or None
        register_coco_format(_DATASET, json_file, image_root, folder, classes=classes)
        evaluator = build_evaluator(_DATASET, folder, tasks=("segm",))
        loader = build_test_loader(cfg, _DATASET)
        return inference_on_dataset(predictor.model, loader, evaluator)["segm"]["AP"]
