"""Runs FreeSOLO: trains a class-agnostic segmenter and a backbone from images without labels.

solo-d2 freesolo --images datasets/scenes/train/images \\
    --val-json datasets/scenes/instances_val.json --val-images datasets/scenes/val/images
solo-d2 freesolo --images images/ --backbone densecl.pth --num-gpus 8 \\
    --free-mask-config FreeSOLO/free_mask_R50 \\
    --config-file FreeSOLO/freesolo_R50_30k

Stages: densecl, masks, train, and for each round labels_N and train_N. The same command (without --redo)
resumes a run that was stopped or killed. OUTPUT/report.md has the numbers, times and pictures.
"""

import argparse
import shlex
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from solo_d2.config.loading import config_file, find_config, load_config
from solo_d2.data.image_paths import list_images
from solo_d2.engine import cli
from solo_d2.engine.flag_types import whole
from solo_d2.engine.interruption import stop_signals
from solo_d2.inputs import to_array
from solo_d2.pseudo_labels.pipeline import Method, Pipeline
from solo_d2.pseudo_labels.report import write_report
from solo_d2.pseudo_labels.shards import read_counts
from solo_d2.pseudo_labels.stages import StageRunner, resting_on
from solo_d2.utils.errors import InputError

MAX_SAMPLE = 100  # rows of one picture
# Keys that the stages' commands set, and their flags; only the pre-training has its own weights.
FLAG_OF_KEY = {
    "OUTPUT_DIR": "--output",
    "SEED": "--seed",
    "MODEL.WEIGHTS": "--backbone or --segmenter",
}


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    add = parser.add_argument
    add("--images", required=True, metavar="PATH", help="a folder, a text list or a COCO JSON of images")
    add("--image-root", default="", metavar="DIR", help="what a list's names are relative to")
    add("--output", default="output/freesolo", metavar="DIR", help="(%(default)s)")
    add("--val-json", default="", metavar="FILE", help="labels, for evaluation only")
    add("--val-images", default="", metavar="DIR", help="their image folder")
    add("--backbone", default="", metavar="FILE", help="pre-trained weights: leaves out densecl")
    add("--masks", default="", metavar="FILE", help="coarse masks in COCO format: leaves out masks")
    add("--segmenter", default="", metavar="FILE", help="its trained weights: leaves out masks and train")
    add("--rounds", type=whole(0), default=1, metavar="N", help="of self-training (%(default)s)")
    add("--until", default="", metavar="STAGE", help="stop after this stage")
    add("--redo", nargs="+", default=[], metavar="STAGE", help="rerun these and what depends on them, once")
    add("--seed", type=whole(0), default=0, help="of all trainings (%(default)s)")
    add("--num-gpus", type=whole(1), default=1, metavar="N", help="processes of every stage (%(default)s)")
    add(
        "--sample",
        type=whole(1, MAX_SAMPLE),
        default=6,
        metavar="N",
        help="images in the report (%(default)s)",
    )
    for flag, name, what in (
        ("densecl", "densecl_tiny", "pre-training"),
        ("free-mask", "free_mask_tiny", "free masks"),
        ("", "freesolo_tiny", "the segmenter"),
    ):
        prefix = f"--{flag}-" if flag else "--"
        file_flag = f"{prefix}config" if flag else "--config-file"
        default = str(config_file(f"quick/{name}"))
        add(file_flag, default=default, metavar="FILE", help=f"of {what} (quick/{name})")
        add(f"{prefix}opts", nargs="+", default=[], metavar="KEY VALUE", help=f"overrides for {what}")
    return parser


def check_flags(arguments: argparse.Namespace) -> None:
    """Raises ``InputError`` for mistakes that would stop a later stage, perhaps after days."""
    if bool(arguments.val_json) != bool(arguments.val_images):
        raise InputError("evaluation needs both --val-json and --val-images")
    if arguments.masks and arguments.segmenter:
        raise InputError("--masks and --segmenter are mutually exclusive")
    for flag, path in (
        ("--val-json", arguments.val_json),
        ("--backbone", arguments.backbone),
        ("--masks", arguments.masks),
        ("--segmenter", arguments.segmenter),
    ):
        if path and not Path(path).is_file():
            raise InputError(f"{flag} {path} does not exist")
    if arguments.val_images and not Path(arguments.val_images).is_dir():
        raise InputError(f"--val-images {arguments.val_images} is not a folder")
    images, output = (Path(path).expanduser().resolve() for path in (arguments.images, arguments.output))
    if images.is_dir() and output.is_relative_to(images):
        raise InputError(f"--output {arguments.output} is inside --images: its pictures would become images")


def build_pipeline(arguments: argparse.Namespace) -> Pipeline:
    """Returns the pipeline that the flags describe."""
    check_flags(arguments)
    densecl = None
    if not arguments.backbone:
        densecl = _method("--densecl-config", arguments.densecl_config, arguments.densecl_opts, "DenseCL")
    return Pipeline(
        output=Path(arguments.output),
        images=arguments.images,
        listed=list_images(arguments.images, arguments.image_root),
        densecl=densecl,
        free_mask=_method(
            "--free-mask-config", arguments.free_mask_config, arguments.free_mask_opts, "FreeMask"
        ),
        segmenter=_method("--config-file", arguments.config_file, arguments.opts),
        backbone=arguments.backbone,
        masks=arguments.masks,
        trained=arguments.segmenter,
        val_json=arguments.val_json,
        val_images=arguments.val_images,
        rounds=arguments.rounds,
        seed=arguments.seed,
        num_gpus=arguments.num_gpus,
        sample=arguments.sample,
    )


def _method(flag: str, config: str, options: list[str], kind: str = "") -> Method:
    """Reads a config of a ``kind`` of model, by default of a segmenter that can be trained."""
    cfg = load_config(config, options)
    for key in options[::2]:
        if key in FLAG_OF_KEY and (key, kind) != ("MODEL.WEIGHTS", "DenseCL"):
            raise InputError(f"{key} of {config} is set by {FLAG_OF_KEY[key]}")
    found = cfg.MODEL.META_ARCHITECTURE
    if kind and found != kind:
        raise InputError(f"{flag} {config}: MODEL.META_ARCHITECTURE is {found}, must be {kind}")
    if not kind and found in ("DenseCL", "FreeMask"):
        raise InputError(f"{flag} {config}: MODEL.META_ARCHITECTURE is {found}, which learns no masks")
    return Method(find_config(config), cfg, options)


def check_stages(flag: str, stages: Iterable[str], names: list[str]) -> None:
    """Raises ``InputError`` for a stage that the run does not have."""
    for stage in stages:
        if stage not in names:
            raise InputError(f"{flag} {stage}: the stages are {', '.join(names)}")


def check_found(output: Path, stage: str) -> None:
    """Raises ``InputError`` before a run trains on nothing."""
    labels = output / stage / "labels.json"
    if labels.is_file() and (read_counts(labels) or {}).get("masks") == 0:
        raise InputError(
            f"stage {stage} found nothing in any image, so nothing can be learned: docs/free_mask.md says "
            f"what to change; then add --redo {stage}"
        )


def run(arguments: argparse.Namespace) -> None:
    """Runs the stages that are not done yet, and writes the report."""
    cli.show_log()
    pipeline = build_pipeline(arguments)
    names = [stage.name for stage in pipeline.stages]
    check_stages("--until", [arguments.until] if arguments.until else [], names)
    check_stages("--redo", arguments.redo, names)
    stages = pipeline.stages[: names.index(arguments.until) + 1] if arguments.until else pipeline.stages
    command = shlex.join(cli.command_line())
    runner = StageRunner(pipeline.output)
    report = partial(write_report, pipeline, runner, command)
    with stop_signals.installed(), runner.lock():
        runner.forget(resting_on(arguments.redo, pipeline.stages))
        runner.check(stages)
        for stage in stages:
            if runner.run(stage):
                report()
            if stage is not stages[-1]:
                check_found(pipeline.output, stage.name)
        page = report(partial(to_array, order="RGB"))
    print(f"Report: {page}")
