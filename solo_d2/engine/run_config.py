"""Turns the command line and config file of a run into a checked config."""

import argparse
import logging
import math
import os

from detectron2.config import CfgNode
from detectron2.data import Metadata, MetadataCatalog
from detectron2.engine import default_argument_parser
from solo_d2.checkpoint.file_names import LAST_CHECKPOINT
from solo_d2.config.loading import load_config, merge_options
from solo_d2.data.datasets import (
    register_all,
    register_class_folders,
    register_coco_format,
    register_panoptic_format,
    register_unlabelled,
)
from solo_d2.model_zoo.catalogue import PREFIX
from solo_d2.utils.addresses import is_address
from solo_d2.utils.device import available_device
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import naming_keys

from .cli import prepare_parser
from .console import set_up_logging
from .dataset_checks import check_datasets, drop_unmeasurable, meta_architecture, method_node
from .flag_types import whole
from .model_card import card_metadata, set_class_counts, stored_card
from .own_data import default_config, fit_to_data

logger = logging.getLogger(__name__)

# Key that custom data replaces, its name in the catalogs, and its keys below DATASETS.CUSTOM, also flags.
_CUSTOM_SETS = (
    ("TRAIN", "custom_train", "TRAIN_JSON", "TRAIN_IMAGES", "TRAIN_PANOPTIC"),
    ("TEST", "custom_val", "VAL_JSON", "VAL_IMAGES", "VAL_PANOPTIC"),
)


def build_parser(description: str | None = None) -> argparse.ArgumentParser:
    """Returns Detectron2's training parser with the flags for own data."""
    parser = prepare_parser(default_argument_parser())
    if description:
        parser.description, parser.epilog = description, None
    parser.set_defaults(dist_url="auto")
    parser.add_argument(
        "--minutes", type=whole(1), default=0, metavar="N", help="train as long as fits (SOLVER.MAX_MINUTES)"
    )
    group = parser.add_argument_group("own data: COCO format, or images without labels")
    group.add_argument("--train-json", default="", metavar="FILE", help="training annotations")
    group.add_argument("--train-images", default="", metavar="DIR", help="their image folder")
    group.add_argument(
        "--train-panoptic", default="", metavar="DIR", help="PNG folder, where they are panoptic"
    )
    group.add_argument("--val-json", default="", metavar="FILE", help="validation annotations")
    group.add_argument("--val-images", default="", metavar="DIR", help="their image folder")
    group.add_argument(
        "--val-panoptic", default="", metavar="DIR", help="PNG folder, where they are panoptic"
    )
    group.add_argument(
        "--train-unlabelled",
        default="",
        metavar="PATH",
        help="train on images without labels: a folder, a .txt list or a COCO .json of them",
    )
    group.add_argument(
        "--val-classes",
        default="",
        metavar="DIR",
        help="watch a pre-training on a folder with one subfolder of images per class",
    )
    return parser


def build_cfg(args: argparse.Namespace, cfg: CfgNode | None = None) -> CfgNode:
    """Builds the config, registers the datasets, and checks both.

    Args:
        args: Parsed by ``build_parser``.
        cfg: Result of :func:`read_cfg`, which is changed; read here by default.

    Returns:
        The frozen config.

    Raises:
        InputError: If a key is unknown, a value has the wrong type, a file or dataset is missing, or class
            counts contradict each other.
    """
    cfg = cfg or read_cfg(args)
    set_up_logging(cfg.OUTPUT_DIR)
    cfg.MODEL.DEVICE = available_device(cfg.MODEL.DEVICE)
    register_all()
    _check_weights(cfg, args)
    explicit_keys = args.opts[0::2] if args.opts else []
    # Training data on the command line override what an evaluated model knows.
    named = args.train_json or "DATASETS.CUSTOM.TRAIN_JSON" in explicit_keys
    trained = _classes_of_weights(cfg, args.resume) if args.eval_only and not named else None
    _register_custom_data(cfg, explicit_keys, trained)
    if default := default_config(args):
        fit_to_data(cfg, default, explicit_keys)
    if not args.eval_only:
        _check_solver(cfg)
    drop_unmeasurable(cfg)
    check_datasets(cfg, training=not args.eval_only, trained=trained)
    cfg.freeze()
    return cfg


def read_cfg(args: argparse.Namespace) -> CfgNode:
    """Reads config file, flags and KEY VALUE pairs, in this order; reads no data."""
    default = default_config(args)
    cfg = load_config(args.config_file or default)
    if default:
        cfg.DATASETS.TEST = ()
    for key in cfg.DATASETS.CUSTOM:
        if getattr(args, key.lower(), None):
            cfg.DATASETS.CUSTOM[key] = getattr(args, key.lower())
    if args.minutes:
        cfg.SOLVER.MAX_MINUTES = args.minutes
    merge_options(cfg, args.opts or [])
    return cfg


def _register_custom_data(cfg: CfgNode, explicit_keys: list[str], trained: Metadata | None) -> None:
    """Replaces DATASETS.TRAIN and DATASETS.TEST by the user's own data.

    ``trained`` are the classes of a model to evaluate, if it knows them; its training data are not read then.
    """
    replaced, counted = _register_bare_images(cfg), trained
    for target, name, *keys in _CUSTOM_SETS:
        if target in replaced or (target == "TRAIN" and trained is not None):
            continue
        known = None if cfg.TEST.CLASS_AGNOSTIC else counted
        metadata = _register_custom_set(cfg, name, known, *keys)
        if metadata is not None:
            cfg.DATASETS[target] = (name,)
            if target == "TRAIN" or not cfg.TEST.CLASS_AGNOSTIC:
                counted = counted or metadata
    if counted is not None:
        source = "the annotation file" if trained is None else "the weight file"
        set_class_counts(cfg, counted, source, explicit_keys)


def _register_bare_images(cfg: CfgNode) -> list[str]:
    """Registers the user's images without instances; returns the entries of DATASETS that they replace."""
    custom, replaced = cfg.DATASETS.CUSTOM, []
    if custom.TRAIN_UNLABELLED:
        if custom.TRAIN_JSON:
            raise InputError("give --train-unlabelled or --train-json, not both (DATASETS.CUSTOM)")
        if meta_architecture(cfg).train_mapper is None:
            raise InputError(
                f"{cfg.MODEL.META_ARCHITECTURE} learns from labels, which --train-unlabelled "
                "(DATASETS.CUSTOM.TRAIN_UNLABELLED) does not have: give --train-json and --train-images"
            )
        with naming_keys({"image_root": "--train-images (DATASETS.CUSTOM.TRAIN_IMAGES)"}):
            register_unlabelled("custom_train", custom.TRAIN_UNLABELLED, custom.TRAIN_IMAGES or None)
        cfg.DATASETS.TRAIN = ("custom_train",)
        replaced.append("TRAIN")
    if custom.VAL_CLASSES:
        if custom.VAL_JSON:
            raise InputError("give --val-classes or --val-json, not both (DATASETS.CUSTOM)")
        register_class_folders("custom_val", custom.VAL_CLASSES)
        cfg.DATASETS.TEST = ("custom_val",)
        replaced.append("TEST")
    return replaced


def _register_custom_set(
    cfg: CfgNode,
    name: str,
    trained: Metadata | None,
    json_key: str,
    images_key: str,
    panoptic_key: str,
) -> Metadata | None:
    """Registers one of the user's own sets, instances or panoptic; returns None if none is given.

    ``trained`` are the classes of the training set or the model, by whose names another set's are ordered.
    """
    json_file, images, panoptic = (cfg.DATASETS.CUSTOM[k] for k in (json_key, images_key, panoptic_key))
    if bool(json_file) != bool(images) or (panoptic and not json_file):
        flags = [f"--{key.lower().replace('_', '-')}" for key in (json_key, images_key)]
        raise InputError(
            f"own data needs both {' and '.join(flags)} (DATASETS.CUSTOM.{json_key} and "
            f"DATASETS.CUSTOM.{images_key})"
        )
    if not json_file:
        return None
    cache_dir, max_skipped = os.path.join(cfg.OUTPUT_DIR, "datasets"), cfg.DATASETS.CUSTOM.MAX_SKIPPED
    with naming_keys({"max_skipped": "DATASETS.CUSTOM.MAX_SKIPPED", "boxes_only": "TEST.BOX_ONLY"}):
        if panoptic:
            return register_panoptic_format(
                name, json_file, panoptic, images, trained, cache_dir, max_skipped
            )
        return register_coco_format(
            name,
            json_file,
            images,
            cache_dir,
            cfg.TEST.BOX_ONLY and json_key == "VAL_JSON",
            max_skipped,
            for_training=json_key == "TRAIN_JSON" and meta_architecture(cfg).train_mapper is None,
            classes=trained.thing_classes if trained is not None else None,
        )


def _classes_of_weights(cfg: CfgNode, resume: bool) -> Metadata | None:
    """Returns the classes of the weights to evaluate, as their file or, if published, their config tells."""
    weights, record = cfg.MODEL.WEIGHTS, os.path.join(cfg.OUTPUT_DIR, LAST_CHECKPOINT)
    if resume and os.path.isfile(record):
        with open(record) as file:
            weights = os.path.join(cfg.OUTPUT_DIR, file.read().strip())
        if not os.path.isfile(weights):
            return None  # loading looks for the checkpoint before it
    try:
        card = stored_card(weights)
    except InputError:
        if resume:
            return None
        raise
    if card.categories:
        return card_metadata(card)
    if not weights.startswith(PREFIX) or cfg.TEST.CLASS_AGNOSTIC or not cfg.DATASETS.TEST:
        return None
    published = MetadataCatalog.get(cfg.DATASETS.TEST[0])
    fits = len(published.get("thing_classes", ())) == method_node(cfg).get("NUM_CLASSES")
    return published if fits else None


def _check_solver(cfg: CfgNode) -> None:
    """Raises ``InputError`` for a training without iterations, images or steps."""
    solver = cfg.SOLVER
    if solver.MAX_ITER < 1:
        raise InputError(
            f"SOLVER.MAX_ITER {solver.MAX_ITER}: a training has at least 1 iteration; --eval-only evaluates "
            "MODEL.WEIGHTS without one"
        )
    if solver.MAX_MINUTES < 0:
        raise InputError(f"SOLVER.MAX_MINUTES {solver.MAX_MINUTES}: it must be at least 0, for no limit")
    if solver.IMS_PER_BATCH < 1:
        raise InputError(f"SOLVER.IMS_PER_BATCH {solver.IMS_PER_BATCH}: it must be at least 1")
    if solver.CHECKPOINT_MAX_TO_KEEP < 0:
        raise InputError(
            f"SOLVER.CHECKPOINT_MAX_TO_KEEP {solver.CHECKPOINT_MAX_TO_KEEP}: it must be at least 0, which "
            "keeps all"
        )
    if not 0 < solver.BASE_LR < math.inf:
        raise InputError(f"SOLVER.BASE_LR {solver.BASE_LR}: nothing can be learned; give a positive number")


def _check_weights(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Raises ``InputError`` for a missing weight file or an evaluation without weights."""
    weights = cfg.MODEL.WEIGHTS
    if args.resume and os.path.isfile(os.path.join(cfg.OUTPUT_DIR, LAST_CHECKPOINT)):
        return
    if weights and not is_address(weights) and not os.path.isfile(weights.split("?")[0]):
        raise InputError(f"weight file {weights} does not exist (MODEL.WEIGHTS)")
    if args.eval_only and not weights:
        raise InputError("--eval-only needs MODEL.WEIGHTS <file>, or --resume with a checkpoint")
