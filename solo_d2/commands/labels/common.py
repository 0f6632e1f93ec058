"""Shared parts of the commands that write pseudo-labels: flags, resuming, and the summary."""

import argparse
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.structures import Instances
from solo_d2.data.image_paths import ImagePaths, list_images
from solo_d2.engine import cli, flag_types
from solo_d2.pseudo_labels.files import describe_changes, digest_of_file, flat_json
from solo_d2.pseudo_labels.labeling import Labeling, Segmenter, count_labels, run_labeling
from solo_d2.pseudo_labels.shards import ShardStore, read_settings
from solo_d2.utils.errors import InputError
from solo_d2.utils.hashing import hash_value

logger = logging.getLogger(__name__)

# Keys of MODEL that do not change labels: weights are compared by content, and devices agree.
_NOT_SETTINGS = ("MODEL.WEIGHTS", "MODEL.DEVICE")
_INPUT_KEYS = ("FORMAT", "MIN_SIZE_TEST", "MAX_SIZE_TEST")


def build_parser(description: str | None) -> argparse.ArgumentParser:
    """Returns the parser of the commands' flags."""
    parser = cli.build_parser(description)
    add = parser.add_argument
    add("--config-file", required=True, metavar="FILE", help="model config")
    add("--images", required=True, metavar="PATH", help="a folder, a text list or a COCO JSON of images")
    add("--image-root", default="", metavar="DIR", help="what a list's names are relative to")
    add("--output", required=True, metavar="FILE.json", help="labels in COCO format")
    add(
        "--processes",
        type=flag_types.whole(1),
        default=1,
        metavar="N",
        help="work side by side, on all GPUs (%(default)s)",
    )
    add("--part", type=_read_part, default=(0, 1), metavar="I/N", help="only the I-th of N parts, from 0")
    add("--limit", type=flag_types.whole(1), metavar="N", help="only the first N images")
    add("--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE", help="config overrides, last")
    return parser


def _read_part(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and int(part) < int(parts)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a part: give 0/4 to 3/4 for four parts")
    return int(part), int(parts)


def settings_from_config(cfg: CfgNode, images: ImagePaths) -> dict[str, object]:
    """Returns everything that labels depend on, as flat JSON values."""
    settings = {
        key: value for key, value in flat_json(cfg.MODEL, "MODEL").items() if key not in _NOT_SETTINGS
    }
    settings |= flat_json({key: cfg.INPUT[key] for key in _INPUT_KEYS}, "INPUT")
    settings |= flat_json(cfg.PSEUDO_LABELS, "PSEUDO_LABELS")
    del settings["PSEUDO_LABELS.BATCH_SIZE"]
    settings["weights (SHA-256)"] = digest_of_file(cfg.MODEL.WEIGHTS)
    settings["image names and ids (SHA-256)"] = hash_value([images.names, images.ids])
    return settings


def label_images_from_config(
    cfg: CfgNode,
    arguments: argparse.Namespace,
    select: Callable[[Instances], Instances],
    make_segmenter: Callable[..., Segmenter],
) -> None:
    """Writes ``--output``; resumes an earlier call with the same settings.

    Args:
        cfg: The config, with the weights in ``MODEL.WEIGHTS``.
        arguments: Parsed by :func:`build_parser`.
        select: Chooses the predictions that become labels.
        make_segmenter: Called in every process as ``make_segmenter(cfg, device=...)``.

    Raises:
        InputError: The output exists and was made with other settings, or images cannot be read.
    """
    _check(cfg, arguments)
    images = list_images(arguments.images, arguments.image_root)
    images = images.first(arguments.limit) if arguments.limit else images
    settings, output = settings_from_config(cfg, images), Path(arguments.output)
    folder = output.with_name(f"{output.name}.shards")
    shard_size = cfg.PSEUDO_LABELS.SHARD_SIZE
    if output.exists():
        _check_finished(output, settings)
        ShardStore(folder, settings, images, shard_size).remove()
        logger.info("%s exists and was made with these settings", output)
        return
    store = ShardStore.open(folder, settings, images, shard_size)
    missing = store.missing(*arguments.part)
    if len(missing) < store.num_shards:
        logger.info("%d of %d shards are missing", len(missing), store.num_shards)
    make = partial(make_segmenter, cfg)
    start = time.perf_counter()
    batch_size, device = cfg.PSEUDO_LABELS.BATCH_SIZE, cfg.MODEL.DEVICE
    labeling = Labeling(make, select, store, images.root, batch_size, device)
    run_labeling(labeling, missing, arguments.processes)
    seconds = time.perf_counter() - start
    _finish(store, output, len(missing), seconds)


def _check(cfg: CfgNode, arguments: argparse.Namespace) -> None:
    for key in ("BATCH_SIZE", "SHARD_SIZE"):
        if cfg.PSEUDO_LABELS[key] < 1:
            raise InputError(f"PSEUDO_LABELS.{key} {cfg.PSEUDO_LABELS[key]}: it must be at least 1")
    if Path(arguments.output).suffix != ".json":
        raise InputError(f"--output {arguments.output} does not end in .json")


def _check_finished(output: Path, settings: dict[str, object]) -> None:
    before = read_settings(output)
    if before is None:
        raise InputError(
            f"--output {output} exists and was not made by this tool, or is damaged: name another file"
        )
    changes = describe_changes(before, settings)
    if changes:
        raise InputError(f"--output {output} was made with other settings ({changes}): name another file")


def _finish(store: ShardStore, output: Path, num_made: int, seconds: float) -> None:
    """Merges the shards if all are done, and logs what they hold."""
    left = store.missing()
    if left and not output.exists():
        logger.info("%d of %d shards are left to other parts", len(left), store.num_shards)
        return
    try:
        totals = count_labels(store)
        store.merge(output, asdict(totals))
    except InputError:
        if not output.exists():
            raise
        _check_finished(output, store.settings)
        logger.info("%s was merged by another part", output)
        return
    store.remove()
    logger.info("%d images, %d masks -> %s", totals.images, totals.masks, output)
    if not totals.masks:
        logger.warning("nothing was found in any image; docs/free_mask.md says what to change")
    if totals.skipped:
        logger.warning("%d images could not be read and are left out", totals.skipped)
    if num_made == store.num_shards:
        rates = totals.images / seconds, totals.masks / seconds
        logger.info("%.1f images/s, %.1f masks/s, with start-up", *rates)
