"""Trains and evaluates a model.

solo-d2 train --config-file quick/solov2_tiny
solo-d2 train --config-file SOLOv2/solov2_R50_3x --num-gpus 8
solo-d2 train --config-file quick/solov2_tiny \\
    --train-json train.json --train-images train/ --val-json val.json --val-images val/
solo-d2 train --config-file quick/densecl_tiny --train-unlabelled photos/
solo-d2 train --config-file ... --minutes 30
solo-d2 train --config-file ... --resume
torchrun --nproc_per_node 8 -m solo_d2 train --config-file ...

--config-file takes a path or the name of a config of this package. Config keys follow at the end as
KEY VALUE. Results: OUTPUT_DIR/evaluation.json, metrics.json.
"""

import argparse
import logging
import os
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.utils import comm
from solo_d2.config.loading import find_config
from solo_d2.engine import run_config
from solo_d2.engine.launching import launch_training
from solo_d2.engine.run_folder import claimed_folder, full_disk_explained
from solo_d2.engine.time_budget import fit_to_budget
from solo_d2.engine.trainer import Trainer
from solo_d2.engine.weights import build_checkpointer
from solo_d2.evaluation.results import write_results
from solo_d2.modeling.inference import prepare_for_inference
from solo_d2.utils.settings import build

logger = logging.getLogger(__name__)


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    return run_config.build_parser(description)


def run(arguments: argparse.Namespace) -> None:
    """Checks the command line, then starts every process of the job."""
    if arguments.config_file:
        arguments.config_file = find_config(arguments.config_file)  # Detectron2 logs the file's text
    run_config.read_cfg(arguments)  # finds mistakes before any process starts
    launch_training(run_member, arguments)


def run_member(arguments: argparse.Namespace) -> None:
    """Runs one process of the job."""
    wanted = run_config.read_cfg(arguments)
    folder, policy = wanted.OUTPUT_DIR, wanted.OUTPUT_DIR_IF_USED
    if arguments.eval_only:
        work(arguments, wanted)
        return
    with claimed_folder(folder, resume=arguments.resume, policy=policy) as claimed:
        wanted.OUTPUT_DIR = claimed
        work(arguments, wanted, instead_of=folder if claimed != folder else "")


def work(arguments: argparse.Namespace, wanted: CfgNode, instead_of: str = "") -> None:
    """Trains or evaluates, and writes the results.

    Args:
        arguments: The command line.
        wanted: The config as it was read.
        instead_of: The folder that the user named if OUTPUT_DIR is another one.
    """
    cfg = run_config.build_cfg(arguments, wanted)
    if instead_of:
        logger.warning("Another training used %s: this one goes to %s", instead_of, cfg.OUTPUT_DIR)
    with full_disk_explained(cfg.OUTPUT_DIR):
        default_setup(cfg, loggable(arguments))
        results = (evaluate if arguments.eval_only else train)(cfg, arguments.resume)
    if comm.is_main_process() and results:
        write_results(results, os.path.join(cfg.OUTPUT_DIR, "evaluation.json"))


def loggable(arguments: argparse.Namespace) -> argparse.Namespace:
    """Returns the command line without a config file in UTF-16, whose text Detectron2 cannot log."""
    try:
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
    return Trainer.test(cfg, model)


def train(cfg: CfgNode, resume: bool) -> dict:
    """Trains, and returns the last evaluation's results."""
    cfg = fit_to_budget(cfg, resume)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    return trainer.train()
