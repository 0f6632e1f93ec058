"""Segments pictures, folders, videos or a webcam with a trained model; needs no display."""

import argparse
import sys
from pathlib import Path

import torch

from solo_d2.config.loading import is_exported, load_config
from solo_d2.engine.cli import prepare_parser
from solo_d2.engine.flag_types import share, whole
from solo_d2.utils.errors import InputError
from solo_d2.utils.json_file import write_json
from solo_d2.utils.output_paths import output_paths, refuse_overwriting
from solo_d2.utils.video_source import VideoSource
from solo_d2.visualization.pictures import writable_name
from solo_d2.visualization.results import PARTS

from .frames import segment_video
from .inputs import IMAGE_SUFFIXES, InputImage, find_images
from .pictures import Job, Outcome, segment_pictures

DEFAULT_CONFIG = "mmdet/solov2_R50_3x"
DEFAULT_OUTPUT = "output/demo_results"
COMMANDS = """
  solo-d2 predict --input a.jpg
  solo-d2 predict --config-file FILE.yaml --input a.jpg 'shots/*.png' folder/ --output out \\
      --opts MODEL.WEIGHTS model.pth
  solo-d2 predict --config-file FILE.yaml --input folder/ --json out/results.json \\
      --num-gpus 2 --batch-size 8 --opts MODEL.WEIGHTS model.pth
  solo-d2 predict --config-file model.onnx --input folder/
  solo-d2 predict --config-file FILE.yaml --video-input in.mp4 --output out.mp4 \\
      --confidence-threshold 0.4 --opts MODEL.WEIGHTS model.pth
"""


def build_parser(commands: str = COMMANDS) -> argparse.ArgumentParser:
    """Returns the parser of the command.

    Args:
        commands: Copyable command lines; the help begins with them.
    """
    parser = argparse.ArgumentParser(usage=commands, description=__doc__)
    add = parser.add_argument
    add(
        "--config-file",
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help="config, its name, a published model's name, or an exported file (%(default)s)",
    )
    add("--webcam", action="store_true", help="take frames from the first camera, until Ctrl-C")
    add("--video-input", metavar="FILE", help="a video file")
    add("--input", nargs="+", metavar="PATH", help="files, 'quoted globs' or folders of pictures")
    add(
        "--output",
        metavar="PATH",
        help=f"folder, or a file for one picture or video ({DEFAULT_OUTPUT})",
    )
    add(
        "--confidence-threshold",
        type=share,
        default=0.5,
        metavar="SCORE",
        help="lowest score that is shown and written (%(default)s)",
    )
    add("--draw", choices=PARTS, default="both", help="masks, boxes, or both (%(default)s)")
    add("--batch-size", type=whole(1), default=1, metavar="N", help="pictures per pass (%(default)s)")
    add("--json", metavar="FILE", help="also write COCO results there")
    add("--num-gpus", type=whole(1), default=1, metavar="N", help="split pictures over N GPUs")
    add(
        "--opts",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="KEY VALUE",
        help="config overrides such as MODEL.WEIGHTS model.pth; must come last",
    )
    return prepare_parser(parser)


def check_arguments(args: argparse.Namespace) -> None:
    """Raises ``InputError`` for flags that exclude each other."""
    sources = [bool(args.input), bool(args.video_input), args.webcam]
    if sum(sources) != 1:
        raise InputError("name one of --input, --video-input and --webcam (-h shows commands)")


def choose_devices(num_gpus: int) -> list[str | None]:
    """Returns one device name per process; [None] lets the predictor choose."""
    available = torch.cuda.device_count()
    if num_gpus > available and num_gpus > 1:
        used = f"{available} GPUs" if available > 1 else "one process"
        print(f"--num-gpus {num_gpus}: {available} GPUs here, running on {used}")
    count = min(num_gpus, available)
    return [f"cuda:{index}" for index in range(count)] if count > 1 else [None]


def picture_targets(images: list[InputImage], output: Path) -> list[Path]:
    """Returns the file of each overlay; raises ``InputError`` if it would replace an input."""
    is_file = output.suffix.lower() in IMAGE_SUFFIXES and not output.is_dir()
    if is_file and len(images) > 1:
        raise InputError(f"--output {output} is one file, but there are {len(images)} pictures")
    names = [writable_name(image.name) for image in images]
    targets = [output] if is_file else output_paths(output, names)
    refuse_overwriting(targets, [image.path for image in images])
    if not is_file and output.is_file():
        raise InputError(f"--output {output} is a file, not a folder or a picture's name")
    return targets


def video_target(source: VideoSource, video: str | None, output: Path) -> Path:
    """Returns the mp4 file to write; raises ``InputError`` if it would replace its input."""
    is_file = output.suffix.lower() == ".mp4" and not output.is_dir()
    (target,) = [output] if is_file else output_paths(output, [f"{Path(source.name).stem}.mp4"])
    refuse_overwriting([target], [video] if video else [])
    return target


def report(outcome: Outcome, unit: str, target: Path, args: argparse.Namespace) -> None:
    """Prints what was written; exits with code 1 if a picture could not be read."""
    if args.json and outcome.num_done:
        write_json(args.json, outcome.rows)
        print(f"{len(outcome.rows)} instances -> {args.json}")
    hint = "" if args.output else " (--output names another place)"
    print(f"{outcome.num_done} {unit}(s) segmented -> {target}{hint}")
    if outcome.failures:
        print(f"{len(outcome.failures)} {unit}(s) could not be read", file=sys.stderr)
        sys.exit(1)


def make_job(args: argparse.Namespace) -> Job:
    """Returns model, threshold and drawing; raises ``InputError`` for masks of a box-only model."""
    if is_exported(args.config_file):
        return Job(args.config_file, args.confidence_threshold, args.batch_size, args.draw, args.opts)
    cfg = load_config(args.config_file, args.opts)
    if cfg.TEST.BOX_ONLY and args.draw == "masks":
        raise InputError("--draw masks: TEST.BOX_ONLY gives boxes without masks; leave one of them out")
    cfg.MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH = args.confidence_threshold
    return Job(cfg, args.confidence_threshold, args.batch_size, args.draw, args.opts)


def run(args: argparse.Namespace) -> None:
    """Segments what the command line names and writes the results."""
    check_arguments(args)
    job = make_job(args)
    output = Path(args.output or DEFAULT_OUTPUT)
    devices = choose_devices(args.num_gpus)
    if args.input:
        images = find_images(args.input)
        targets = picture_targets(images, output)
        outcome = segment_pictures(images, targets, job, devices)
        report(outcome, "picture", output, args)
    else:
        source = VideoSource(0 if args.webcam else args.video_input)
        target = video_target(source, args.video_input, output)
        report(segment_video(source, target, job, devices[0]), "frame", target, args)
