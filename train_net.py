#!/usr/bin/env python
"""Trains and evaluates.

    python train_net.py --config-file configs/quick/solov2_tiny.yaml
    python train_net.py --config-file configs/SOLOv2/solov2_R50_3x.yaml --num-gpus 8
    python train_net.py --config-file configs/quick/solov2_tiny.yaml \\
        --train-json train.json --train-images train/ --val-json val.json --val-images val/
    python train_net.py --config-file configs/quick/densecl_tiny.yaml --train-unlabelled photos/
    python train_net.py --config-file ... --resume
    python train_net.py --config-file ... --eval-only MODEL.WEIGHTS output/model_final.pth
    torchrun --nproc_per_node 8 train_net.py --config-file ...

Config keys follow at the end as KEY VALUE. Results: OUTPUT_DIR/evaluation.json, metrics.json.
"""

import argparse
import os

import solo_d2  # noqa: F401  (registers the models)
from detectron2.engine import default_setup
from detectron2.utils import comm
from solo_d2.engine.cli import run_cli
from solo_d2.engine.launching import launch_training
from solo_d2.engine.run_config import build_cfg, build_parser, read_cfg
from solo_d2.engine.trainer import Trainer
from solo_d2.engine.weights import build_checkpointer
from solo_d2.evaluation.results import write_results


def evaluate(cfg, resume: bool) -> dict:
    """Evaluates MODEL.WEIGHTS, or with ``resume`` the last checkpoint, on DATASETS.TEST."""
    model = Trainer.build_model(cfg)
    checkpointer = build_checkpointer(cfg, model, cfg.OUTPUT_DIR, exact=True)
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=resume)
    return Trainer.test(cfg, model)


def train(cfg, resume: bool) -> dict:
    """Trains, and returns the last evaluation's results."""
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    return trainer.train()


def run(args: argparse.Namespace) -> None:
    """What every process of the job does."""
    cfg = build_cfg(args)
    default_setup(cfg, args)
    results = (evaluate if args.eval_only else train)(cfg, args.resume)
    if comm.is_main_process() and results:
        write_results(results, os.path.join(cfg.OUTPUT_DIR, "evaluation.json"))


def main() -> None:
    """Reads the command line; mistakes in it are found before any process is started."""
    args = build_parser().parse_args()
    read_cfg(args)
    launch_training(run, args)


if __name__ == "__main__":
    run_cli(main)
