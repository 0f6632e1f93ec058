"""Combines model, data, optimizer, hooks and evaluation as a config describes."""

import argparse
import logging
import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.data import build_detection_test_loader
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset, print_csv_format
from detectron2.modeling import build_model
from detectron2.solver import build_lr_scheduler
from detectron2.utils import comm
from detectron2.utils.collect_env import collect_env_info
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import CommonMetricPrinter, EventWriter, JSONWriter, TensorboardXWriter
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import setup_logger

from .train_loop import SimpleTrainer, TrainerBase


def default_argument_parser(epilog: str | None = None) -> argparse.ArgumentParser:
    """Returns the argument parser that training scripts share.

    Args:
        epilog: Text below the help.
    """
    parser = argparse.ArgumentParser(epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--config-file", default="", metavar="FILE", help="path of the config file")
    add("--resume", action="store_true", help="continue from the last checkpoint in OUTPUT_DIR, if any")
    add("--eval-only", action="store_true", help="evaluate, do not train")
    add("--num-gpus", type=int, default=1, help="number of GPUs *per machine*")
    add("--num-machines", type=int, default=1, help="total number of machines")
    add("--machine-rank", type=int, default=0, help="rank of this machine, from 0")
    # The default differs between users of a machine, so that their jobs do not collide.
    user = os.getuid() if hasattr(os, "getuid") else 1
    port = 2**15 + 2**14 + user % 2**14
    add("--dist-url", default=f"tcp://127.0.0.1:{port}", help="rendezvous address of the processes")
    add("opts", default=None, nargs=argparse.REMAINDER, help="config overrides at the end: KEY VALUE pairs")
    return parser


def default_setup(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Prepares a job: output folder, loggers, a log of the environment, seeds, backend flags.

    Writes the whole config to ``OUTPUT_DIR/config.yaml``.

    Args:
        cfg: The frozen config.
        args: The parsed command line.
    """
    rank = comm.get_rank()
    if comm.is_main_process() and cfg.OUTPUT_DIR:
        PathManager.mkdirs(cfg.OUTPUT_DIR)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=rank, name="fvcore")
    logger = setup_logger(cfg.OUTPUT_DIR, distributed_rank=rank)
    logger.info("Rank of current process: %d. World size: %d", rank, comm.get_world_size())
    logger.info("Environment info:\n%s", collect_env_info())
    logger.info("Command line arguments: %s", args)
    config_file = getattr(args, "config_file", "")
    if config_file:
        with PathManager.open(config_file, "r") as f:
            logger.info("Contents of config_file=%s:\n%s", config_file, f.read())
    if comm.is_main_process() and cfg.OUTPUT_DIR:
        logger.info("Running with full config:\n%s", cfg.dump())
        path = os.path.join(cfg.OUTPUT_DIR, "config.yaml")
        with PathManager.open(path, "w") as f:
            f.write(cfg.dump())
        logger.info("Full config saved to %s", path)
    seed_all_rng(None if cfg.SEED < 0 else cfg.SEED + rank)
    if not getattr(args, "eval_only", False):  # evaluation sees too many sizes for tuning to pay off
        torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
    if cfg.FLOAT32_PRECISION:
        torch.set_float32_matmul_precision(cfg.FLOAT32_PRECISION)


def default_writers(output_dir: str, max_iter: int | None = None) -> list[EventWriter]:
    """Returns writers for the console, ``metrics.json`` and, if it is installed, TensorBoard.

    Args:
        output_dir: Folder of the files; it is created.
        max_iter: Last iteration + 1, for the ETA.
    """
    PathManager.mkdirs(output_dir)
    numbers = JSONWriter(os.path.join(output_dir, "metrics.json"))
    curves = [TensorboardXWriter(output_dir)] if find_spec("tensorboard") else []
    return [CommonMetricPrinter(max_iter), numbers, *curves]


class DefaultTrainer(TrainerBase):
    """Base of a trainer that is built from a config; the ``build_*`` methods can be overridden.

    Subclasses define ``__init__``, which must set the attributes below and register hooks.

    Attributes:
        cfg: The config.
        scheduler: The learning-rate scheduler.
        checkpointer: Saves and restores the run.
    """

    cfg: CfgNode
    scheduler: LRScheduler
    checkpointer: DetectionCheckpointer
    _trainer: SimpleTrainer

    def __init__(self, cfg: CfgNode):
        raise NotImplementedError(
            "d2lite's DefaultTrainer has no training step: use solo_d2.engine.trainer.Trainer, "
            "or install the real Detectron2."
        )

    def resume_or_load(self, resume: bool = True) -> None:
        """Loads the last checkpoint of ``OUTPUT_DIR``, or else ``MODEL.WEIGHTS``.

        Args:
            resume: Whether to resume from a checkpoint in ``OUTPUT_DIR``, at its iteration.
        """
        self.checkpointer.resume_or_load(self.cfg.MODEL.WEIGHTS, resume=resume)
        if resume and self.checkpointer.has_checkpoint():
            self.start_iter = self.iter + 1

    def build_writers(self) -> list[EventWriter]:
        """Returns ``default_writers`` of this run."""
        return default_writers(self.cfg.OUTPUT_DIR, self.max_iter)

    def train(self) -> Any:  # type: ignore[override]
        """Trains to ``SOLVER.MAX_ITER``."""
        super().train(self.start_iter, self.max_iter)

    def run_step(self) -> None:
        self._trainer.iter = self.iter
        self._trainer.run_step()

    def state_dict(self) -> dict[str, Any]:
        """Adds the state of the training step."""
        return {**super().state_dict(), "_trainer": self._trainer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores iteration, hooks and the state of the training step."""
        super().load_state_dict(state_dict)
        self._trainer.load_state_dict(state_dict["_trainer"])

    @property
    def model(self) -> nn.Module:
        """The model, possibly inside a ``DistributedDataParallel``."""
        return self._trainer.model

    @property
    def data_loader(self) -> Any:
        """The training loader."""
        return self._trainer.data_loader

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer."""
        return self._trainer.optimizer

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """Builds the model and logs it."""
        model = build_model(cfg)
        logging.getLogger(__name__).info("Model:\n%s", model)
        return model

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: Optimizer) -> LRScheduler:
        """Builds the learning-rate scheduler."""
        return build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable:
        """Builds the loader that iterates once over a dataset."""
        return build_detection_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """Builds the evaluator of a dataset; defined by subclasses."""
        raise NotImplementedError("Override build_evaluator to evaluate, or pass evaluators.")

    @classmethod
    def test(
        cls,
        cfg: CfgNode,
        model: nn.Module,
        evaluators: DatasetEvaluator | Sequence[DatasetEvaluator] | None = None,
    ) -> dict[str, Any]:
        """Evaluates a model on every dataset of ``DATASETS.TEST``.

        Args:
            cfg: The config.
            model: The model.
            evaluators: One per dataset, or a single one; None means ``build_evaluator``.

        Returns:
            Results by dataset name; with a single dataset only its results.
        """
        logger = logging.getLogger(__name__)
        if isinstance(evaluators, DatasetEvaluator):
            evaluators = [evaluators]
        names = cfg.DATASETS.TEST
        if evaluators is not None:
            assert len(names) == len(evaluators), f"{len(names)} datasets, but {len(evaluators)} evaluators"
        results: dict[str, Any] = OrderedDict()
        for index, name in enumerate(names):
            loader = cls.build_test_loader(cfg, name)
            try:
                evaluator = evaluators[index] if evaluators else cls.build_evaluator(cfg, name)
            except NotImplementedError:
                logger.warning("No evaluator found: pass `evaluators=` or override build_evaluator.")
                results[name] = {}
                continue
            results[name] = inference_on_dataset(model, loader, evaluator)
            if comm.is_main_process():
                logger.info("Evaluation results for %s in csv format:", name)
                print_csv_format(results[name])
        return next(iter(results.values())) if len(results) == 1 else results

    @staticmethod
    def auto_scale_workers(cfg: CfgNode, num_workers: int) -> CfgNode:
        """Scales a config made for ``SOLVER.REFERENCE_WORLD_SIZE`` processes to another number.

        Batch size and learning rate grow in proportion; schedule, warm-up and periods shrink (the
        linear scaling rule).

        Args:
            cfg: The config.
            num_workers: The number of processes.

        Returns:
            A scaled, frozen copy, or ``cfg`` itself if there is nothing to scale.
        """
        reference = cfg.SOLVER.REFERENCE_WORLD_SIZE
        if reference == 0 or reference == num_workers:
            return cfg
        cfg = cfg.clone()
        frozen = cfg.is_frozen()
        cfg.defrost()
        solver = cfg.SOLVER
        assert solver.IMS_PER_BATCH % reference == 0, f"IMS_PER_BATCH must be a multiple of {reference}"
        scale = num_workers / reference
        solver.IMS_PER_BATCH = int(round(solver.IMS_PER_BATCH * scale))
        solver.BASE_LR *= scale
        solver.MAX_ITER = int(round(solver.MAX_ITER / scale))
        solver.WARMUP_ITERS = int(round(solver.WARMUP_ITERS / scale))
        solver.STEPS = tuple(int(round(step / scale)) for step in solver.STEPS)
        cfg.TEST.EVAL_PERIOD = int(round(cfg.TEST.EVAL_PERIOD / scale))
        solver.CHECKPOINT_PERIOD = int(round(solver.CHECKPOINT_PERIOD / scale))
        solver.REFERENCE_WORLD_SIZE = num_workers
        logging.getLogger(__name__).info(
            "Scaled the config to %d processes: IMS_PER_BATCH %d, BASE_LR %g, MAX_ITER %d, WARMUP_ITERS %d",
            num_workers, solver.IMS_PER_BATCH, solver.BASE_LR, solver.MAX_ITER, solver.WARMUP_ITERS,
        )  # fmt: skip
        if frozen:
            cfg.freeze()
        return cfg
