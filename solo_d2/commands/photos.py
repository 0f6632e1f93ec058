"""Trains on a folder of photographs within a number of minutes, and writes a page on what was learned.

solo-d2 photos --data folder/ --minutes 30
solo-d2 photos --data folder/ --minutes 30 --output output/mine MODEL.WEIGHTS model.pth
solo-d2 photos --data folder/ --minutes 30 --resume
solo-d2 photos

The folder has COCO annotation files with "train" and "val" in their names, or one file, a fifth of whose
images then validates. Without a folder the command names public data. Config keys follow at the end as KEY
VALUE; input size, levels and steps follow from the data. Results: OUTPUT/report.html, which needs no other
file.
"""

import argparse
import shlex
import time
from pathlib import Path

from detectron2.data import MetadataCatalog
from solo_d2.config.loading import load_config
from solo_d2.data.datasets.photo_folder import find_photo_sets
from solo_d2.engine import cli
from solo_d2.engine.flag_types import whole
from solo_d2.evaluation.coco_rows import restore_ids
from solo_d2.evaluation.coco_statistics import index_truth
from solo_d2.utils.errors import InputError
from solo_d2.utils.json_file import read_json
from solo_d2.visualization.photo_report import write_photo_report

from . import train

# Seen in November 2026; the licenses are those that the pages state.
PUBLIC_DATA = """Name a folder of photographs with COCO annotations, such as one of these public sets:

  images  size     license    page (https://huggingface.co/datasets/...)
      31  18 MB    MIT        cj-mills/coco-instance-segmentation-toy-dataset
      90  6.9 MB   CC BY 4.0  keremberke/pothole-segmentation
     189  9.4 MB   CC BY 4.0  keremberke/pcb-defect-segmentation
     665  unknown  CC BY 4.0  manot/pothole-segmentation2
    1058  unknown  CC BY 4.0  merve/SGinW (its folder Strawberry; images of 416 x 416 pixels)

Unpack it, then: solo-d2 photos --data FOLDER --minutes 30 (make photos DATA=FOLDER MINUTES=30)"""


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    add = parser.add_argument
    add(
        "--data", default="", metavar="DIR", help="photographs with COCO annotations; without it: public data"
    )
    add(
        "--minutes",
        type=whole(1),
        default=30,
        metavar="N",
        help="of training; more for the rest (%(default)s)",
    )
    add("--output", default="output/photos", metavar="DIR", help="(%(default)s)")
    add("--resume", action="store_true", help="continue the training in --output")
    add("opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE", help="config keys, at the end")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Trains, evaluates and writes the page; without a folder names public data."""
    if not arguments.data:
        print(PUBLIC_DATA)
        return
    output = Path(arguments.output)
    if not arguments.resume and (output / "config.yaml").exists():
        raise InputError(f"--output {output} has another training: add --resume, or name another folder")
    training, validation = find_photo_sets(arguments.data, output / "datasets" / "split")
    if arguments.resume:
        check_same_data(output, training.json_file)
    words = ["--train-json", training.json_file, "--train-images", training.images]
    words += ["--val-json", validation.json_file, "--val-images", validation.images]
    words += ["--minutes", arguments.minutes, *(["--resume"] if arguments.resume else [])]
    words += ["OUTPUT_DIR", output, "OUTPUT_DIR_IF_USED", "refuse", *arguments.opts]
    start = time.monotonic()
    train.run(train.build_parser().parse_args([str(word) for word in words]))
    page = write_report(output, validation.images, time.monotonic() - start)
    print(page)


def check_same_data(output: Path, json_file: Path) -> None:
    """Raises ``InputError`` if the training to resume had other annotations."""
    config = output / "config.yaml"
    if not config.exists():
        return
    before = load_config(config).DATASETS.CUSTOM.TRAIN_JSON
    if Path(before).resolve() != json_file.resolve():
        raise InputError(f"--output {output} has a training with {before}: name another folder")


def write_report(output: Path, images: Path, seconds: float) -> Path:
    """Writes ``report.html`` on the evaluation in a training's folder.

    Args:
        output: The folder.
        images: The validation set's.
        seconds: What training and evaluation took.

    Returns:
        The page.
    """
    metadata = MetadataCatalog.get("custom_val")
    truth = index_truth(read_json(metadata.json_file, "annotation file"), metadata.json_file)
    results = read_json(output / "inference" / "coco_instances_results.json", "results file")
    own = {
        key: {old: new for new, old in ids.items()} for key, ids in metadata.get("original_ids", {}).items()
    }
    cfg = load_config(output / "config.yaml")
    solver = cfg.SOLVER
    facts = {
        "Command": shlex.join(cli.command_line()),
        "Training": f"{solver.MAX_ITER} steps of {solver.IMS_PER_BATCH} images with a short side of "
        f"{cfg.INPUT.MIN_SIZE_TEST} pixels ({cfg.MODEL.META_ARCHITECTURE}, from "
        f"{cfg.MODEL.WEIGHTS or 'random weights'})",
        "Time": f"{seconds / 60:.1f} minutes for this run, evaluation included",
    }
    numbers = read_json(output / "evaluation.json", "results file")
    page = output / "report.html"
    write_photo_report(page, truth, restore_ids(results, own), images, numbers, facts)
    return page
