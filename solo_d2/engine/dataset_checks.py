"""What can be wrong between a config and its datasets, found before training starts."""

import os
from difflib import get_close_matches

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import META_ARCH_REGISTRY
from solo_d2.structures.errors import InputError


def method_name(cfg: CfgNode) -> str:
    """The meta-architecture's node below ``MODEL``: its ``config_node``, else its name in capitals."""
    name = cfg.MODEL.META_ARCHITECTURE
    known = META_ARCH_REGISTRY.get(name) if name in META_ARCH_REGISTRY else None
    return getattr(known, "config_node", name.upper())


def method_node(cfg: CfgNode) -> CfgNode:
    """The meta-architecture's keys; an empty node if it has none."""
    node = cfg.MODEL.get(method_name(cfg))
    return node if isinstance(node, CfgNode) else CfgNode()


def class_count_key(cfg: CfgNode) -> str:
    """The full name of the meta-architecture's ``NUM_CLASSES``; "" if it has none."""
    if "NUM_CLASSES" not in method_node(cfg):
        return ""
    return f"MODEL.{method_name(cfg)}.NUM_CLASSES"


def check_datasets(cfg: CfgNode, training: bool) -> None:
    """Checks that the datasets exist and have the classes the model is built for.

    Args:
        cfg: the config.
        training: whether ``DATASETS.TRAIN`` is used.

    Raises:
        InputError: naming the dataset and the remedy.
    """
    if training and not cfg.DATASETS.TRAIN:
        raise InputError("No training data: set DATASETS.TRAIN, or give --train-json and --train-images")
    if not training and not cfg.DATASETS.TEST:
        raise InputError("No data to evaluate: set DATASETS.TEST, or give --val-json, --val-images")
    names = [*(cfg.DATASETS.TRAIN if training else ()), *cfg.DATASETS.TEST]
    for name in names:
        _check_exists(name)
    _check_classes(names, class_count_key(cfg), method_node(cfg).get("NUM_CLASSES"))


def _check_classes(names: list[str], key: str, expected: int | None) -> None:
    reference = None
    for name in names:
        classes = _thing_classes(name)
        if not classes:
            continue
        if expected is not None and len(classes) != expected:
            raise InputError(
                f"{key} is {expected}, but dataset {name} has {len(classes)} classes: "
                f"set {key} {len(classes)}"
            )
        reference = reference or (name, classes)
        if classes != reference[1]:
            raise InputError(
                f"Datasets {reference[0]} and {name} have different classes: "
                f"{_first_difference(reference[1], classes)}"
            )


def _check_exists(name: str) -> None:
    known = DatasetCatalog.list()
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
        raise InputError(f"There is no dataset {name}: {hint}")
    metadata = MetadataCatalog.get(name)
    for path in (metadata.get("json_file"), metadata.get("image_root")):
        if path and not os.path.exists(path):
            _load_for_advice(name)
            raise InputError(
                f"Dataset {name} is not there: {path} does not exist; put it there, or set "
                "DETECTRON2_DATASETS to the folder that holds it"
            )


def _load_for_advice(name: str) -> None:
    """Lets a dataset's own loader say how to get its files; most only say that one is missing."""
    try:
        DatasetCatalog.get(name)
    except OSError:
        pass


def _thing_classes(name: str) -> list[str]:
    """Class names of a dataset; datasets that only know them once loaded are loaded."""
    metadata = MetadataCatalog.get(name)
    if metadata.get("thing_classes") is None and metadata.get("evaluator_type") in ("coco", "lvis"):
        DatasetCatalog.get(name)
    return list(metadata.get("thing_classes", []))


def _first_difference(one: list[str], other: list[str]) -> str:
    if len(one) != len(other):
        return f"{len(one)} and {len(other)}"
    index = next(i for i, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1])
    return f"class {index} is {one[index]!r} and {other[index]!r}"
