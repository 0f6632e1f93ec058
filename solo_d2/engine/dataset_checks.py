"""Checks of a config against its datasets before training starts."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from solo_d2.data.mappers.panoptic import panoptic_labels
from solo_d2.modeling.meta_architecture import MetaArchitecture, find_meta_architecture
from solo_d2.utils.class_names import describe_difference
from solo_d2.utils.errors import InputError, suggestion

STUFF_COUNT_KEY = "MODEL.SEM_SEG_HEAD.NUM_CLASSES"


def meta_architecture(cfg: CfgNode) -> type[MetaArchitecture]:
    """Returns the class that ``MODEL.META_ARCHITECTURE`` names; see :func:`find_meta_architecture`."""
    return find_meta_architecture(cfg.MODEL.META_ARCHITECTURE)


def method_name(cfg: CfgNode) -> str:
    """Returns the name of the model's node below ``MODEL``: ``config_node``, else its own in capitals."""
    return meta_architecture(cfg).config_node or cfg.MODEL.META_ARCHITECTURE.upper()


def drop_unmeasurable(cfg: CfgNode) -> None:
    """Removes data sets from ``DATASETS.TEST`` that cannot measure the model, and logs the change.

    A meta-architecture with ``evaluator_types`` can only be evaluated on data sets of these types: one that
    finds no instances has no AP.
    """
    types = meta_architecture(cfg).evaluator_types
    if types is None:
        return
    kept = [name for name in cfg.DATASETS.TEST if MetadataCatalog.get(name).get("evaluator_type") in types]
    if len(kept) != len(cfg.DATASETS.TEST):
        logging.getLogger(__name__).warning(
            "%s finds no instances: DATASETS.TEST is now %s instead of %s",
            cfg.MODEL.META_ARCHITECTURE,
            tuple(kept),
            tuple(cfg.DATASETS.TEST),
        )
        cfg.DATASETS.TEST = tuple(kept)


def method_node(cfg: CfgNode) -> CfgNode:
    """Returns the meta-architecture's node; an empty node if it has none."""
    node = cfg.MODEL.get(method_name(cfg))
    return node if isinstance(node, CfgNode) else CfgNode()


def class_count_key(cfg: CfgNode) -> str:
    """Returns the full name of the meta-architecture's ``NUM_CLASSES``; "" if it has none."""
    if "NUM_CLASSES" not in method_node(cfg):
        return ""
    return f"MODEL.{method_name(cfg)}.NUM_CLASSES"


def class_agnostic_metadata(cfg: CfgNode) -> Metadata:
    """Returns the class names of a class-agnostic evaluation: every class is an object."""
    count = method_node(cfg).get("NUM_CLASSES", 1)
    return Metadata(
        thing_classes=["object"] * count,
        thing_dataset_id_to_contiguous_id={number + 1: number for number in range(count)},
    )


def check_datasets(cfg: CfgNode, training: bool, trained: Metadata | None = None) -> None:
    """Checks that the datasets exist and have the model's classes.

    Args:
        cfg: The config.
        training: Whether ``DATASETS.TRAIN`` is used.
        trained: Classes of a model to evaluate, if its weight file tells.

    Raises:
        InputError: If a dataset is missing or does not fit; the message says what to do.
    """
    if training and not cfg.DATASETS.TRAIN:
        raise InputError(
            "no training data: set DATASETS.TRAIN, or give --train-json and --train-images; images without "
            "labels, for models that need none, with --train-unlabelled"
        )
    if not training and not cfg.DATASETS.TEST:
        raise InputError("no data to evaluate: set DATASETS.TEST, or give --val-json, --val-images")
    used, tested = list(cfg.DATASETS.TRAIN if training else ()), list(cfg.DATASETS.TEST)
    for name in used:
        _check_exists(name, name in tested)
    # A model that is evaluated has the classes of its own training data, where these are given.
    own = [name for name in cfg.DATASETS.TRAIN if training or (name == "custom_train" and trained is None)]
    compared = used if cfg.TEST.CLASS_AGNOSTIC else [*own, *tested]
    model = None if trained is None or cfg.TEST.CLASS_AGNOSTIC else ("the model", trained.thing_classes)
    with _advice_for_own_data(cfg):
        for name in tested:
            _check_exists(name, True)
        _check_classes(compared, class_count_key(cfg), method_node(cfg).get("NUM_CLASSES"), model)
    is_panoptic = meta_architecture(cfg).is_panoptic
    if is_panoptic:
        labels = trained.get("stuff_classes", [])[1:] if trained is not None else []
        _check_stuff([*own, *tested], cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, labels)
    for name in () if cfg.TEST.CLASS_AGNOSTIC else tested:
        _check_measurable(name, cfg.MODEL.META_ARCHITECTURE, is_panoptic)
        _check_has_instances(name, cfg)


@contextmanager
def _advice_for_own_data(cfg: CfgNode) -> Iterator[None]:
    """Explains an ``InputError`` about the config's validation data if only training data are own data."""
    custom = cfg.DATASETS.CUSTOM
    try:
        yield
    except InputError as error:
        if not (custom.TRAIN_JSON or custom.TRAIN_UNLABELLED) or custom.VAL_JSON or custom.VAL_CLASSES:
            raise
        raise InputError(
            "your own data has no validation part: give --val-json and --val-images, or DATASETS.TEST '()' "
            f"to train without evaluation. The config's does not fit: {error}"
        ) from error


def _check_stuff(names: list[str], expected: int, reference: list[str]) -> None:
    """Checks that the datasets have the semantic branch's labels: ``reference``, if the model knows them."""
    first = "the model" if reference else names[0]
    for name in names:
        metadata = MetadataCatalog.get(name)
        things, stuff = panoptic_labels(metadata)
        if metadata.get("panoptic_json") and not (things and stuff):
            lacking = "stuff classes (isthing 0)" if things else "thing classes (isthing 1)"
            raise InputError(f"dataset {name} has no {lacking}: a panoptic model needs things and stuff")
        if not stuff:
            raise InputError(
                f"a panoptic model learns stuff, too, but dataset {name} has instances only: name a panoptic "
                "dataset, or give the folder of panoptic PNG files with --train-panoptic, --val-panoptic"
            )
        if len(stuff) + 1 != expected:
            raise InputError(
                f"{STUFF_COUNT_KEY} is {expected}, but dataset {name} has {len(stuff)} stuff classes, and "
                f"one more stands for the things: set {STUFF_COUNT_KEY} {len(stuff) + 1}"
            )
        classes = [metadata.stuff_classes[index] for index in stuff]
        reference = reference or classes
        if difference := describe_difference(reference, classes, (first, name)):
            raise InputError(f"{first} and {name} have different stuff classes: {difference}")


def _check_measurable(name: str, architecture: str, panoptic: bool) -> None:
    """Checks that a dataset can measure a model's kind of result."""
    metadata = MetadataCatalog.get(name)
    if metadata.get("evaluator_type") != "coco_panoptic_seg":
        return
    if not panoptic:
        raise InputError(
            f"dataset {name} is for panoptic results, which {architecture} does not give: name an "
            "instance dataset in DATASETS.TEST"
        )
    if any(own != label for labels in panoptic_labels(metadata) for own, label in labels.items()):
        raise InputError(
            f"dataset {name} numbers things and stuff together, which results do not: train on it, but "
            f"name {name}_separated or {name}_segments in DATASETS.TEST"
        )


def _check_has_instances(name: str, cfg: CfgNode) -> None:
    """Checks that a model that finds instances is not evaluated on an image classification dataset."""
    kind = MetadataCatalog.get(name).get("evaluator_type")
    if kind == "class_folders" and kind not in (meta_architecture(cfg).evaluator_types or ()):
        raise InputError(
            f"dataset {name} has classes of images, no instances: {cfg.MODEL.META_ARCHITECTURE} is not "
            "measured by it; give --val-json and --val-images"
        )


def _check_classes(
    names: list[str], key: str, expected: int | None, reference: tuple[str, list[str]] | None = None
) -> None:
    """Checks that the datasets have equal classes, also those of a reference, and as many as expected."""
    for name in names:
        classes = _thing_classes(name)
        if not classes:
            continue
        if reference is None and expected is not None and len(classes) != expected:
            raise InputError(
                f"{key} is {expected}, but dataset {name} has {len(classes)} classes: "
                f"set {key} {len(classes)}"
            )
        reference = reference or (name, classes)
        if difference := describe_difference(reference[1], classes, (reference[0], name)):
            raise InputError(
                f"{reference[0]} and {name} have different classes: {difference}; name other data, or leave "
                "classes out with TEST.CLASS_AGNOSTIC True"
            )


def _check_exists(name: str, tested: bool) -> None:
    known = DatasetCatalog.list()
    if name not in known:
        hint = suggestion(name, known, f"known are {', '.join(sorted(known))}")
        raise InputError(f"there is no dataset {name}{hint}")
    metadata = MetadataCatalog.get(name)
    keys = ["panoptic_json", "panoptic_root", "image_root"]
    if tested or not metadata.get("panoptic_json"):  # panoptic sets need instance files for evaluation only
        keys.append("json_file")
    for path in map(metadata.get, keys):
        if path and not os.path.exists(path):
            _load_for_advice(name)
            raise InputError(
                f"dataset {name} is missing: {path} does not exist; put it there, or set "
                "DETECTRON2_DATASETS to the folder that holds it"
            )


def _load_for_advice(name: str) -> None:
    """Runs a dataset's own loader, whose error may say how to get the files."""
    try:
        DatasetCatalog.get(name)
    except OSError:
        pass


def _thing_classes(name: str) -> list[str]:
    """Returns a dataset's class names; loads the dataset if it has none before."""
    metadata = MetadataCatalog.get(name)
    if metadata.get("thing_classes") is None and metadata.get("evaluator_type") in ("coco", "lvis"):
        DatasetCatalog.get(name)
    classes = list(metadata.get("thing_classes", []))
    things, _ = panoptic_labels(metadata)
    return [classes[index] for index in things] if things else classes
