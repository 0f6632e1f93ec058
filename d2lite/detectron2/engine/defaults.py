"""The usual way of putting model, data, optimizer, hooks and evaluation together from a config."""

import argparse
import logging
import os
import sys
import weakref
from collections import OrderedDict

import torch
from fvcore.nn.precise_bn import get_bn_modules
from torch.nn.parallel import DistributedDataParallel

import detectron2.data.transforms as T
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.data import MetadataCatalog, build_detection_test_loader, build_detection_train_loader
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset, print_csv_format, verify_results
from detectron2.modeling import build_model
from detectron2.solver import build_lr_scheduler, build_optimizer
from detectron2.utils import comm
from detectron2.utils.collect_env import collect_env_info
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import CommonMetricPrinter, JSONWriter, TensorboardXWriter
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import setup_logger

from . import hooks
from .train_loop import AMPTrainer, SimpleTrainer, TrainerBase

__all__ = [
    "DefaultPredictor",
    "DefaultTrainer",
    "create_ddp_model",
    "default_argument_parser",
    "default_setup",
    "default_writers",
]


def create_ddp_model(model, *, fp16_compression=False, **kwargs):
    """Wraps a model for distributed training; with one process it comes back as it is.

    Args:
        model: on its device already.
        fp16_compression: send gradients in half precision.
        kwargs: go to ``DistributedDataParallel``. ``device_ids`` is this process's GPU unless
            given; a model on the CPU gets none.
    """
    if comm.get_world_size() == 1:
        return model
    on_gpu = next(model.parameters()).is_cuda
    kwargs.setdefault("device_ids", [comm.get_local_rank()] if on_gpu else None)
    ddp = DistributedDataParallel(model, **kwargs)
    if fp16_compression:
        from torch.distributed.algorithms.ddp_comm_hooks import default as comm_hooks

        ddp.register_comm_hook(state=None, hook=comm_hooks.fp16_compress_hook)
    return ddp


def default_argument_parser(epilog=None):
    """Returns the argument parser that training scripts share.

    Args:
        epilog: text under the help; default: examples.
    """
    script = sys.argv[0]
    parser = argparse.ArgumentParser(
        epilog=epilog
        or f"""
Examples:

One machine:
    $ {script} --num-gpus 8 --config-file cfg.yaml

Other config values:
    $ {script} --config-file cfg.yaml MODEL.WEIGHTS /path/to/weight.pth SOLVER.BASE_LR 0.001

Several machines:
    (machine0)$ {script} --machine-rank 0 --num-machines 2 --dist-url <URL> [other flags]
    (machine1)$ {script} --machine-rank 1 --num-machines 2 --dist-url <URL> [other flags]
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--config-file", default="", metavar="FILE", help="path of the config file")
    add("--resume", action="store_true", help="continue from the last checkpoint in OUTPUT_DIR, if any")
    add("--eval-only", action="store_true", help="evaluate, do not train")
    add("--num-gpus", type=int, default=1, help="number of GPUs *per machine*")
    add("--num-machines", type=int, default=1, help="total number of machines")
    add("--machine-rank", type=int, default=0, help="this machine's number, from 0")
    # The default differs between users of a machine, so that they do not meet.
    user = os.getuid() if hasattr(os, "getuid") else 1
    port = 2**15 + 2**14 + user % 2**14
    add("--dist-url", default=f"tcp://127.0.0.1:{port}", help="where the processes meet, as torch takes it")
    add("opts", default=None, nargs=argparse.REMAINDER, help="config values: KEY VALUE pairs, at the end")
    return parser


def default_setup(cfg, args):
    """What a job does first: output folder, loggers, a log of the set-up, seeds, backend flags.

    Writes the whole config to ``OUTPUT_DIR/config.yaml``.

    Args:
        cfg: the frozen config.
        args: the parsed command line.
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
    if not getattr(args, "eval_only", False):  # pictures of many sizes would be tuned for in vain
        torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
    if cfg.FLOAT32_PRECISION:
        torch.set_float32_matmul_precision(cfg.FLOAT32_PRECISION)


def default_writers(output_dir: str, max_iter: int | None = None):
    """Returns writers for the console, ``metrics.json`` and TensorBoard.

    Args:
        output_dir: where the files go; it is made.
        max_iter: end of training, for the ETA.
    """
    PathManager.mkdirs(output_dir)
    return [
        CommonMetricPrinter(max_iter),
        JSONWriter(os.path.join(output_dir, "metrics.json")),
        TensorboardXWriter(output_dir),
    ]


class DefaultPredictor:
    """One picture in, the model's output for it out; on ``MODEL.DEVICE``, without batches.

    Args:
        cfg: its ``MODEL.WEIGHTS`` are loaded; pictures are resized as ``INPUT.*_TEST`` say.
    """

    def __init__(self, cfg):
        self.cfg = cfg.clone()
        self.model = build_model(self.cfg)
        self.model.eval()
        if len(cfg.DATASETS.TEST):
            self.metadata = MetadataCatalog.get(cfg.DATASETS.TEST[0])
        DetectionCheckpointer(self.model).load(cfg.MODEL.WEIGHTS)
        short = cfg.INPUT.MIN_SIZE_TEST
        self.aug = T.ResizeShortestEdge([short, short], cfg.INPUT.MAX_SIZE_TEST)
        self.input_format = cfg.INPUT.FORMAT
        assert self.input_format in ("RGB", "BGR"), self.input_format

    def __call__(self, original_image):
        """Predicts on one picture.

        Args:
            original_image: uint8 (H, W, 3) array in BGR order.

        Returns:
            dict: the model's output for the picture, e.g. "instances" in its own H x W frame.
        """
        with torch.no_grad():
            if self.input_format == "RGB":
                original_image = original_image[:, :, ::-1]
            height, width = original_image.shape[:2]
            image = self.aug.get_transform(original_image).apply_image(original_image)
            tensor = torch.as_tensor(image.astype("float32").transpose(2, 0, 1))
            tensor = tensor.to(self.cfg.MODEL.DEVICE)
            return self.model([{"image": tensor, "height": height, "width": width}])[0]


class DefaultTrainer(TrainerBase):
    """Training with everything built from a config; ``build_*`` are there to be overridden.

    Args:
        cfg: the config; scaled by ``auto_scale_workers`` to the number of processes.
    """

    def __init__(self, cfg):
        super().__init__()
        logger = logging.getLogger("detectron2")
        if not logger.isEnabledFor(logging.INFO):  # nobody has set up logging yet
            setup_logger()
        cfg = DefaultTrainer.auto_scale_workers(cfg, comm.get_world_size())
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        data_loader = self.build_train_loader(cfg)
        model = create_ddp_model(model, broadcast_buffers=False)
        step_type = AMPTrainer if cfg.SOLVER.AMP.ENABLED else SimpleTrainer
        self._trainer = step_type(model, data_loader, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = DetectionCheckpointer(model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        self.register_hooks(self.build_hooks())

    def resume_or_load(self, resume=True):
        """Loads the last checkpoint of ``OUTPUT_DIR``, or else ``MODEL.WEIGHTS``.

        Args:
            resume: whether a checkpoint in ``OUTPUT_DIR`` is continued, with its iteration.
        """
        self.checkpointer.resume_or_load(self.cfg.MODEL.WEIGHTS, resume=resume)
        if resume and self.checkpointer.has_checkpoint():
            self.start_iter = self.iter + 1

    def build_hooks(self):
        """Returns timing, scheduler, checkpoint, evaluation and writer hooks."""
        cfg = self.cfg
        result = [hooks.IterationTimer(), hooks.LRScheduler()]
        if cfg.TEST.PRECISE_BN.ENABLED and get_bn_modules(self.model):
            loader = self.build_train_loader(cfg)
            num_iter = cfg.TEST.PRECISE_BN.NUM_ITER
            result.append(hooks.PreciseBN(cfg.TEST.EVAL_PERIOD, self.model, loader, num_iter))
        if comm.is_main_process():  # before evaluation, which may fail
            period = cfg.SOLVER.CHECKPOINT_PERIOD
            result.append(hooks.PeriodicCheckpointer(self.checkpointer, period))

        def test_and_save_results():
            self._last_eval_results = self.test(self.cfg, self.model)
            return self._last_eval_results

        result.append(hooks.EvalHook(cfg.TEST.EVAL_PERIOD, test_and_save_results))
        if comm.is_main_process():  # after evaluation, to write its results
            result.append(hooks.PeriodicWriter(self.build_writers(), period=20))
        return result

    def build_writers(self):
        """Returns ``default_writers`` for this run."""
        return default_writers(self.cfg.OUTPUT_DIR, self.max_iter)

    def train(self):
        """Trains to ``SOLVER.MAX_ITER``.

        Returns:
            the last evaluation's results where ``TEST.EXPECTED_RESULTS`` asks for checking them.
        """
        super().train(self.start_iter, self.max_iter)
        if len(self.cfg.TEST.EXPECTED_RESULTS) and comm.is_main_process():
            assert hasattr(self, "_last_eval_results"), "Nothing was evaluated"
            verify_results(self.cfg, self._last_eval_results)
            return self._last_eval_results

    def run_step(self):
        self._trainer.iter = self.iter
        self._trainer.run_step()

    def state_dict(self):
        return {**super().state_dict(), "_trainer": self._trainer.state_dict()}

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        self._trainer.load_state_dict(state_dict["_trainer"])

    @property
    def model(self):
        """The model, in its ``DistributedDataParallel`` if there is one."""
        return self._trainer.model

    @property
    def data_loader(self):
        """The training loader."""
        return self._trainer.data_loader

    @property
    def optimizer(self):
        """The optimizer."""
        return self._trainer.optimizer

    @classmethod
    def build_model(cls, cfg):
        """Returns the model, and logs it."""
        model = build_model(cfg)
        logging.getLogger(__name__).info("Model:\n%s", model)
        return model

    @classmethod
    def build_optimizer(cls, cfg, model):
        """Returns the optimizer."""
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(cls, cfg, optimizer):
        """Returns the learning-rate scheduler."""
        return build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(cls, cfg):
        """Returns the endless training loader."""
        return build_detection_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg, dataset_name):
        """Returns the loader that goes once over a dataset."""
        return build_detection_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg, dataset_name):
        """Returns a dataset's evaluator; subclasses give one."""
        raise NotImplementedError("Override build_evaluator to evaluate, or pass evaluators.")

    @classmethod
    def test(cls, cfg, model, evaluators=None):
        """Evaluates a model on every dataset of ``DATASETS.TEST``.

        Args:
            cfg: the config.
            model: the model.
            evaluators: one per dataset (or just one); default: ``build_evaluator``.

        Returns:
            dict: results by dataset name; with one dataset just its results.
        """
        logger = logging.getLogger(__name__)
        if isinstance(evaluators, DatasetEvaluator):
            evaluators = [evaluators]
        names = cfg.DATASETS.TEST
        if evaluators is not None:
            assert len(names) == len(evaluators), f"{len(names)} datasets, {len(evaluators)} given"
        results = OrderedDict()
        for index, name in enumerate(names):
            loader = cls.build_test_loader(cfg, name)
            try:
                evaluator = evaluators[index] if evaluators else cls.build_evaluator(cfg, name)
            except NotImplementedError:
                logger.warning("No evaluator found: pass `evaluators=` or write build_evaluator.")
                results[name] = {}
                continue
            results[name] = inference_on_dataset(model, loader, evaluator)
            if comm.is_main_process():
                logger.info("Evaluation results for %s in csv format:", name)
                print_csv_format(results[name])
        return next(iter(results.values())) if len(results) == 1 else results

    @staticmethod
    def auto_scale_workers(cfg, num_workers: int):
        """Scales a config made for ``SOLVER.REFERENCE_WORLD_SIZE`` processes to another number.

        Batch size and learning rate grow with the number, the schedule, warm-up and periods
        shrink with it (the linear scaling rule).

        Args:
            cfg: the config.
            num_workers: the number of processes there are.

        Returns:
            a scaled, frozen copy, or ``cfg`` itself where there is nothing to scale.
        """
        reference = cfg.SOLVER.REFERENCE_WORLD_SIZE
        if reference == 0 or reference == num_workers:
            return cfg
        cfg = cfg.clone()
        frozen = cfg.is_frozen()
        cfg.defrost()
        solver = cfg.SOLVER
        assert solver.IMS_PER_BATCH % reference == 0, f"IMS_PER_BATCH is no multiple of {reference}"
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
