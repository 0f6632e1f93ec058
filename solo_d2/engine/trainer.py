"""``DefaultTrainer`` for CPUs and GPUs, with AMP in two precisions, EMA, and exact resuming."""

import logging
import os
import weakref
from importlib.util import find_spec

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from detectron2.engine import DefaultTrainer, HookBase, TrainerBase, hooks
from detectron2.evaluation import verify_results
from detectron2.solver import build_optimizer, get_default_optimizer_params
from detectron2.solver.build import maybe_add_gradient_clipping
from detectron2.utils import comm
from solo_d2.checkpoint import Checkpointer
from solo_d2.data import build_train_loader
from solo_d2.data.mappers import TRAIN_MAPPERS, InstanceMapper
from solo_d2.evaluation.build import INSTANCE_TASKS, build_evaluator
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import naming_keys
from solo_d2.visualization.validation import ValidationPictures

from .cli import has_lost_peer, resume_command
from .console import ProgressBar, has_terminal, summary
from .conv_gradient import speed_up_gradients
from .dataset_checks import class_agnostic_metadata, meta_architecture, method_node
from .evaluation_loader import build_test_loader
from .hooks import BestCheckpoint, Checkpoints, EMAHook, PreciseBN
from .interruption import Interrupted, stop_signals
from .layer_decay import decay_by_layer
from .metrics import Metrics
from .model_card import training_card
from .train_step import TrainStep
from .weights import FreshWeights, build_checkpointer

logger = logging.getLogger(__name__)
_AMP_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
# A setting by which each optimizer's parameter groups are recognized.
_OPTIMIZER_SETTINGS = {"SGD": "momentum", "AdamW": "betas"}
_WRITER_PERIOD = 20  # iterations between two lines of metrics, as in Detectron2


class Trainer(DefaultTrainer):
    """Trains the model of a config; override the ``build_*`` class methods to change parts.

    A resumed run gets the same batches as an uninterrupted one: the checkpoint holds the loader's seed, and
    the loader's order is a function of seed and position.

    Args:
        cfg: Config with this project's keys; scaled to the number of processes when
            ``SOLVER.REFERENCE_WORLD_SIZE`` is set.
    """

    _trainer: TrainStep

    def __init__(self, cfg):
        TrainerBase.__init__(self)  # DefaultTrainer's own would wrap the model for GPUs only
        cfg = DefaultTrainer.auto_scale_workers(cfg, comm.get_world_size())
        self.cfg = cfg
        self.seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
        self._trainer = self.build_train_step(cfg)
        model = self.bare_model
        self.data_loader.seed = self.seed
        self.scheduler = self.build_lr_scheduler(cfg, self.optimizer)
        self.card = training_card(cfg)  # the loader has read the data set's classes
        self.checkpointer = build_checkpointer(
            cfg, model, cfg.OUTPUT_DIR, card=self.card, trainer=weakref.proxy(self)
        )
        self.resumes = False
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.last_results = {}
        self.ema = None
        if cfg.SOLVER.EMA.ENABLED:
            self.ema = EMAHook(model, cfg.SOLVER.EMA.DECAY, self._build_side_checkpointer)
        self.register_hooks(self.build_hooks())

    @property
    def bare_model(self) -> torch.nn.Module:
        """The live model without its ``DistributedDataParallel``."""
        return getattr(self.model, "module", self.model)

    @property
    def stopping(self) -> int:
        """The signal by which the job has agreed to stop after the last step; 0 for none."""
        return self._trainer.stopping

    @property
    def evaluated_model(self) -> torch.nn.Module:
        """The evaluated model: the averaged one if it exists."""
        return self.ema.averaged if self.ema else self.bare_model

    @classmethod
    def build_train_step(cls, cfg) -> TrainStep:
        """Returns the training step with its model, optimizer and loader."""
        model = cls.build_model(cfg)
        speed_up_gradients(model)
        optimizer = cls.build_optimizer(cfg, model)
        return TrainStep(
            wrap_distributed(model),
            cls.build_train_loader(cfg),
            optimizer,
            autocast_dtype=autocast_dtype(cfg),
            dump_dir=cfg.OUTPUT_DIR,
            max_norm=cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE if clips_total_norm(cfg) else None,
            asked_to_stop=lambda: stop_signals.received,
        )

    @classmethod
    def build_optimizer(cls, cfg, model):
        """Returns SGD or AdamW with Detectron2's weight-decay groups and gradient clipping."""
        if clips_total_norm(cfg):  # the training step clips instead
            cfg = cfg.clone()
            cfg.defrost()
            cfg.SOLVER.CLIP_GRADIENTS.ENABLED = False
        name, decay = cfg.SOLVER.OPTIMIZER, cfg.SOLVER.LAYER_DECAY
        if name == "SGD":
            if decay != 1:
                raise InputError(f"SOLVER.LAYER_DECAY {decay} is for SOLVER.OPTIMIZER AdamW: set it to 1.0")
            return build_optimizer(cfg, model)
        if name != "AdamW":
            raise InputError(f"SOLVER.OPTIMIZER is SGD or AdamW, not {name!r}")
        groups = get_default_optimizer_params(
            model,
            base_lr=cfg.SOLVER.BASE_LR,
            weight_decay=cfg.SOLVER.WEIGHT_DECAY,
            weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
            bias_lr_factor=cfg.SOLVER.BIAS_LR_FACTOR,
            weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
        )
        if decay != 1:
            groups = decay_by_layer(groups, model, decay)
        optimizer_type = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
        return optimizer_type(groups, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY)

    @classmethod
    def build_train_loader(cls, cfg):
        """Returns the resumable loader of the model's training samples."""
        name = meta_architecture(cfg).train_mapper
        return build_train_loader(cfg, TRAIN_MAPPERS[name](cfg) if name else None)

    @classmethod
    def build_test_loader(cls, cfg, dataset_name):
        """Returns a loader that iterates once over a dataset."""
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg, dataset_name, output_folder=None):
        """Returns the evaluator of the dataset; results go to OUTPUT_DIR/inference.

        As many results per image count as the model may give, and at least
        ``TEST.DETECTIONS_PER_IMAGE``.
        """
        if output_folder is None:
            output_folder = os.path.join(cfg.OUTPUT_DIR, "inference")
        given = method_node(cfg).get("MAX_PER_IMG", 0)
        limit = max(given, cfg.TEST.DETECTIONS_PER_IMAGE)
        tasks, agnostic = evaluated_tasks(cfg), cfg.TEST.CLASS_AGNOSTIC
        with naming_keys({"class_agnostic": "TEST.CLASS_AGNOSTIC"}):
            return build_evaluator(dataset_name, output_folder, limit, tasks, agnostic)

    def build_hooks(self):
        """Returns the hooks; their order matters and is explained line by line."""
        cfg = self.cfg
        result: list[HookBase | None] = [hooks.IterationTimer(), hooks.LRScheduler(), self.ema]
        if cfg.TEST.PRECISE_BN.ENABLED and _trains_batch_norm(self.bare_model):
            # before saving and evaluation
            result.append(self._build_precise_bn())
        main = comm.is_main_process()
        # Before evaluation, which may fail, and after the average is up to date.
        solver, eval_period = cfg.SOLVER, cfg.TEST.EVAL_PERIOD if cfg.DATASETS.TEST else 0
        result.append(
            Checkpoints(
                self.checkpointer,
                solver.CHECKPOINT_PERIOD,
                solver.CHECKPOINT_MINUTES,
                eval_period,
                final=self._build_side_checkpointer(self.bare_model),
                most=solver.CHECKPOINT_MAX_TO_KEEP,
            )
        )
        evaluation: list[HookBase] = []
        if cfg.DATASETS.TEST:
            evaluation.append(hooks.EvalHook(cfg.TEST.EVAL_PERIOD, self._evaluation_function()))
            if main and cfg.TEST.BEST_METRIC:
                _check_best_metric(cfg)
                evaluation.append(
                    BestCheckpoint(
                        cfg.TEST.EVAL_PERIOD,
                        self._build_side_checkpointer(self.evaluated_model),
                        cfg.TEST.BEST_METRIC,
                    )
                )
        writers = self.build_writers() if main else []
        bar = [ProgressBar()] if main and has_terminal() else []
        # Last, to write what the others recorded.
        return [
            *result,
            *evaluation,
            *bar,
            Metrics(writers, _WRITER_PERIOD, cfg.OUTPUT_DIR, eval_period, evaluation),
        ]

    def _build_side_checkpointer(self, model: torch.nn.Module) -> Checkpointer:
        """Builds a checkpointer of files that no training resumes from."""
        return build_checkpointer(self.cfg, model, self.cfg.OUTPUT_DIR, card=self.card, resumable=False)

    def _build_precise_bn(self) -> PreciseBN:
        cfg = self.cfg
        if self.ema:
            raise InputError(
                "TEST.PRECISE_BN measures the live weights and SOLVER.EMA evaluates averaged ones: "
                "switch one of them off"
            )
        local = cfg.clone()
        local.defrost()
        local.DATALOADER.NUM_WORKERS = 0  # it runs rarely: worker processes would only wait
        loader = self.build_train_loader(local)
        loader.seed = self.seed
        return PreciseBN(cfg.TEST.EVAL_PERIOD, self.bare_model, loader, cfg.TEST.PRECISE_BN.NUM_ITER)

    def _evaluation_function(self):
        """Returns the evaluation hook's function, which must not keep the trainer alive."""
        for name in self.cfg.DATASETS.TEST:  # fails now, not after training, if a dataset cannot be measured
            self.build_evaluator(self.cfg, name)
        pictures = None
        if comm.is_main_process() and self.cfg.TEST.VIS_IMAGES > 0 and _has_tensorboard():
            agnostic = self.cfg.TEST.CLASS_AGNOSTIC
            pictures = ValidationPictures(
                self.evaluated_model,
                InstanceMapper(self.cfg, False),
                self.cfg.DATASETS.TEST[0],
                self.cfg.TEST.VIS_IMAGES,
                class_agnostic_metadata(self.cfg) if agnostic else None,
            )

        def evaluate():
            if self.stopping:
                raise Interrupted(self.stopping)
            with stop_signals.immediate():
                self.last_results = self.test(self.cfg, self.evaluated_model)
                done = min(self.iter + 1, self.max_iter)
                for line in summary(self.last_results, classes=done == self.max_iter):
                    logger.info("iteration %d, %s", done, line)
                if pictures is not None:
                    pictures.draw()
            return self.last_results

        return evaluate

    def resume_or_load(self, resume=True):
        """Loads the last checkpoint of ``OUTPUT_DIR``, or else ``MODEL.WEIGHTS``.

        Args:
            resume: Whether to continue a checkpoint in ``OUTPUT_DIR`` at the next iteration and batch.

        Raises:
            InputError: If a weight file is missing, damaged or does not fit.
        """
        self.resumes = resume
        fresh = FreshWeights(self.bare_model, self.cfg.MODEL.FRESH_WEIGHTS)
        try:
            super().resume_or_load(resume=resume)
        except InputError:
            raise
        except (KeyError, ValueError) as error:
            raise InputError(
                f"the checkpoint in {self.cfg.OUTPUT_DIR} belongs to another training set-up "
                f"({error}): resume with the config it was made with, or choose another OUTPUT_DIR"
            ) from error
        if not (resume and self.checkpointer.has_checkpoint()):
            fresh.restore()
        self.data_loader.seed = self.seed
        self.data_loader.start_iter = self.start_iter

    def after_train(self) -> None:
        """Calls the hooks; a run with nothing left to train ends at ``SOLVER.MAX_ITER``, not behind it."""
        self.iter = min(self.iter, self.max_iter)
        super().after_train()

    def train(self) -> dict:  # type: ignore[override]  # as Detectron2's own
        """Trains to ``SOLVER.MAX_ITER``.

        SIGINT, SIGTERM and SIGUSR1 save a checkpoint after the current step and stop; a second one ends the
        process at once.

        Returns:
            The last evaluation's results by task; {} on other ranks than 0 or without datasets.

        Raises:
            Interrupted: A signal stopped the training.
        """
        with stop_signals.installed():
            try:
                with stop_signals.deferred():
                    TrainerBase.train(self, self.start_iter, self.max_iter)
            except Interrupted as stop:
                if self.stopping:
                    comm.synchronize()  # the launcher ends all with the first one, but others may be saving
                raise Interrupted(stop.number, self._where_it_stopped()) from None
            except RuntimeError as error:
                if stop_signals.received and has_lost_peer(error):  # that one got the signal earlier
                    raise Interrupted(stop_signals.received, self._where_it_stopped()) from error
                raise
        if self.cfg.TEST.EXPECTED_RESULTS and comm.is_main_process():
            verify_results(self.cfg, self.last_results)
        return self.last_results

    def _where_it_stopped(self) -> str:
        if not self.checkpointer.has_checkpoint():
            return "stopped before the first checkpoint"
        path = self.checkpointer.get_checkpoint_file()
        return f"stopped, the checkpoint is {path}; to resume: {resume_command(self.cfg.OUTPUT_DIR)}"

    def state_dict(self) -> dict:
        """Adds the loader's seed."""
        return {**super().state_dict(), "seed": self.seed}

    def load_state_dict(self, state_dict: dict) -> None:
        """Restores iteration, hooks, optimizer, loss scale and the loader's seed.

        Raises:
            ValueError: The state is of another optimizer.
        """
        saved, own = (
            _optimizer_name(state["param_groups"][0])
            for state in (state_dict["_trainer"]["optimizer"], self.optimizer.state_dict())
        )
        if saved != own:
            raise ValueError(f"SOLVER.OPTIMIZER was {saved}, is {own}")
        super().load_state_dict(state_dict)
        self.seed = state_dict["seed"]


def _trains_batch_norm(model: torch.nn.Module) -> bool:
    """Returns whether a batch norm of the model collects statistics."""
    return any(module.training for module in model.modules() if isinstance(module, _BatchNorm))


def _has_tensorboard() -> bool:
    """Returns whether pictures and curves can be written; says what to install otherwise."""
    found = find_spec("tensorboard") is not None
    if not found:
        logger.info('No curves and pictures for TensorBoard: pip install "solo_d2[tensorboard]" for them')
    return found


def evaluated_tasks(cfg) -> tuple[str, ...]:
    """Returns the evaluated tasks: boxes and masks; only boxes with ``TEST.BOX_ONLY`` and for contours.

    Ground-truth masks are filled: AP of outlines against them is meaningless, AP of their boxes is not.
    """
    contours = method_node(cfg).get("MASK_TARGET", "mask") == "contour"
    return ("bbox",) if cfg.TEST.BOX_ONLY or contours else INSTANCE_TASKS


def _optimizer_name(group: dict) -> str:
    """Returns the SOLVER.OPTIMIZER that a parameter group belongs to; "unknown" for another one."""
    return next((name for name, setting in _OPTIMIZER_SETTINGS.items() if setting in group), "unknown")


def _check_best_metric(cfg) -> None:
    task = cfg.TEST.BEST_METRIC.partition("/")[0]
    if task in INSTANCE_TASKS and task not in evaluated_tasks(cfg):
        raise InputError(
            f"TEST.BEST_METRIC {cfg.TEST.BEST_METRIC} is not measured by this config, which evaluates boxes "
            "only: set TEST.BEST_METRIC bbox/AP"
        )


def clips_total_norm(cfg) -> bool:
    """Returns True if gradients are clipped by their norm over all parameters, as in the original SOLO.

    ``SOLVER.CLIP_GRADIENTS.CLIP_TYPE`` "full_model" means that; Detectron2's own "norm" and "value"
    treat each parameter separately.
    """
    clip = cfg.SOLVER.CLIP_GRADIENTS
    return clip.ENABLED and clip.CLIP_TYPE == "full_model"


def autocast_dtype(cfg) -> torch.dtype | None:
    """Returns the dtype of mixed precision, or None if ``SOLVER.AMP.ENABLED`` is off."""
    if not cfg.SOLVER.AMP.ENABLED:
        return None
    name = cfg.SOLVER.AMP.PRECISION
    if name not in _AMP_DTYPES:
        raise InputError(f"SOLVER.AMP.PRECISION is one of {', '.join(_AMP_DTYPES)}, not {name!r}")
    return _AMP_DTYPES[name]


def wrap_distributed(model: torch.nn.Module) -> torch.nn.Module:
    """Wraps a model for several processes on CPUs or GPUs; a single process gets the model itself."""
    if comm.get_world_size() == 1:
        return model
    on_gpu = next(model.parameters()).is_cuda
    device_ids = [torch.cuda.current_device()] if on_gpu else None
    return DistributedDataParallel(model, device_ids=device_ids, broadcast_buffers=False)
