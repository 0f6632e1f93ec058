"""One training or evaluation from its settings to its files, in every process of the job."""

import argparse
import logging
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.utils import comm
from solo_d2.config.loading import find_config
from solo_d2.evaluation.results import flatten_results, write_results
from solo_d2.modeling.inference import prepare_for_inference
from solo_d2.utils.json_file import read_json, write_json
from solo_d2.utils.settings import build

from .console import own_logging, summary
from .interruption import Interrupted
from .launching import launch_training, starts_processes, under_torchrun
from .run_config import build_cfg, read_cfg
from .run_folder import claimed_folder, full_disk_explained
from .time_budget import fit_to_budget
from .trainer import Trainer
from .weights import build_checkpointer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """The end of a job.

    Attributes:
        output_dir: Its folder, which may be another one than was asked for (``OUTPUT_DIR_IF_USED``).
        metrics: Results of the last evaluation, such as "segm/AP"; None where undefined; {} without one, and
            in other processes than the main one.
    """

    output_dir: str
    metrics: dict[str, float | None] = field(default_factory=dict)


def run_command(arguments: argparse.Namespace) -> None:
    """Checks a command line, then starts every process of the job."""
    if arguments.config_file:
        arguments.config_file = find_config(arguments.config_file)  # Detectron2 logs the file's text
    read_cfg(arguments)  # finds mistakes before any process starts
    launch_training(run_member, arguments)


def run_here(arguments: argparse.Namespace) -> Outcome:
    """Does a job for a Python program: in this process if one is enough.

    Args:
        arguments: As ``run_config.build_parser`` gives them; ``config_file`` may be a config node.

    Raises:
        InputError: A setting or file is wrong.
        KeyboardInterrupt: A signal stopped the training, after a checkpoint.
    """
    wanted = read_cfg(arguments)
    try:
        if not starts_processes(arguments):
            with own_logging():
                return run_member(arguments)
        with tempfile.TemporaryDirectory() as folder:
            arguments.outcome_file = os.path.join(folder, "report.json")
            launch_training(run_member, arguments)
            return Outcome(**read_json(arguments.outcome_file, "report of the job"))
    except Interrupted as stop:
        advice = f"stopped; the same call with resume=True and output_dir={wanted.OUTPUT_DIR!r} continues"
        raise Interrupted(stop.number, advice) from None


def run_member(arguments: argparse.Namespace) -> Outcome:
    """Runs one process of the job."""
    wanted = read_cfg(arguments)
    folder, policy = wanted.OUTPUT_DIR, wanted.OUTPUT_DIR_IF_USED
    if arguments.eval_only:
        outcome = work(arguments, wanted)
    else:
        with claimed_folder(folder, resume=arguments.resume, policy=policy) as claimed:
            wanted.OUTPUT_DIR = claimed
            outcome = work(arguments, wanted, instead_of=folder if claimed != folder else "")
    report = getattr(arguments, "outcome_file", "")
    if report and (comm.is_main_process() or under_torchrun()):
        write_json(report, asdict(outcome))
    return outcome


def work(arguments: argparse.Namespace, wanted: CfgNode, instead_of: str = "") -> Outcome:
    """Trains or evaluates, and writes the results.

    Args:
        arguments: The command line.
        wanted: The config as it was read.
        instead_of: The folder that the user named if OUTPUT_DIR is another one.
    """
    cfg = build_cfg(arguments, wanted)
    if instead_of:
        logger.warning("Another training used %s: this one goes to %s", instead_of, cfg.OUTPUT_DIR)
    with full_disk_explained(cfg.OUTPUT_DIR):
        default_setup(cfg, loggable(arguments))
        results = (evaluate if arguments.eval_only else train)(cfg, arguments.resume)
    if comm.is_main_process() and results:
        write_results(results, os.path.join(cfg.OUTPUT_DIR, "evaluation.json"))
        logger.info("Results: %s", os.path.join(cfg.OUTPUT_DIR, "evaluation.json"))
    return Outcome(cfg.OUTPUT_DIR, flatten_results(results or {}))


def loggable(arguments: argparse.Namespace) -> argparse.Namespace:
    """Returns the command line without a config that Detectron2 cannot log: a node, a file in UTF-16."""
    try:
        if isinstance(arguments.config_file, CfgNode):
            return argparse.Namespace(**{**vars(arguments), "config_file": ""})
        if arguments.config_file:
            Path(arguments.config_file).read_text()
    except UnicodeDecodeError:
        return argparse.Namespace(**{**vars(arguments), "config_file": ""})
    return arguments


def evaluate(cfg: CfgNode, resume: bool) -> dict:
    """Evaluates MODEL.WEIGHTS, or with ``resume`` the last checkpoint, on DATASETS.TEST."""
    model = Trainer.build_model(cfg)
    checkpointer = build_checkpointer(cfg, model, cfg.OUTPUT_DIR, exact=True)
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=resume)
    build(prepare_for_inference, cfg, "MODEL.INFERENCE", model=model)
    results = Trainer.test(cfg, model)
    for line in summary(results, classes=True):
        logger.info("%s", line)
    return results


def train(cfg: CfgNode, resume: bool) -> dict:
    """Trains, and returns the last evaluation's results."""
    cfg = fit_to_budget(cfg, resume)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    logger.info(
        "Training %s on %s: %d iterations of %d images on %s; all messages are in %s",
        cfg.MODEL.META_ARCHITECTURE,
        ", ".join(cfg.DATASETS.TRAIN),
        trainer.max_iter,
        trainer.cfg.SOLVER.IMS_PER_BATCH,
        cfg.MODEL.DEVICE,
        os.path.join(cfg.OUTPUT_DIR, "log.txt"),
    )
    return trainer.train()
