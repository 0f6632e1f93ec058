"""A training step with mixed precision on any device that stops at the first non-finite loss."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import torch
import torch.distributed as dist

from detectron2.engine import SimpleTrainer
from detectron2.utils import comm
from solo_d2.checkpoint.weight_file import save_atomically

from .cli import EXIT_FAILURE

_MAX_FILES_SHOWN = 8


class TrainStep(SimpleTrainer):
    """Runs forward, backward, check, logging, and step.

    All losses are copied to the host once per step, after the backward pass has been queued, so the check
    costs no more than logging. It precedes the optimizer's step, so the dumped weights are those that
    produced the bad loss.

    Args:
        model: Maps a batch (list[dict]) to a dict of scalar losses in training mode.
        data_loader: Endless iterable of batches.
        optimizer: Optimizer of the model's parameters.
        autocast_dtype: ``torch.float16`` (with loss scaling), ``torch.bfloat16``, or None for
            full precision.
        dump_dir: Folder for ``nonfinite_iter_*.pth``.
        max_norm: Gradients are scaled down to this total norm over all parameters; None: never.
        asked_to_stop: Returns the signal that asked this process to stop; 0 for none.

    Attributes:
        stopping: The signal that asked a process of the job to stop before the last step's end; 0 for none.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        data_loader: Iterable[list[dict]],
        optimizer: torch.optim.Optimizer,
        *,
        autocast_dtype: torch.dtype | None = None,
        dump_dir: str = ".",
        max_norm: float | None = None,
        asked_to_stop: Callable[[], int] = lambda: 0,
    ):
        super().__init__(model, data_loader, optimizer)
        self.autocast_dtype = autocast_dtype
        self.dump_dir = dump_dir
        self.max_norm = max_norm
        self.device_type = next(model.parameters()).device.type
        self.grad_scaler = torch.amp.GradScaler(self.device_type, enabled=autocast_dtype == torch.float16)
        self.stopping = 0
        self._asked_to_stop = asked_to_stop
        self._batches: Iterator[list[dict]] | None = None

    def run_step(self) -> None:
        """Trains on one batch.

        Raises:
            FloatingPointError: If a loss is NaN or infinite; one line with losses, iteration,
                pictures, advice and the path of the dump.
        """
        if self._batches is None:
            self._batches = iter(self.data_loader)  # created late, because --resume sets the loader's start
        start = time.perf_counter()
        batch = next(self._batches)
        data_time = time.perf_counter() - start
        with torch.autocast(
            self.device_type, dtype=self.autocast_dtype, enabled=self.autocast_dtype is not None
        ):
            losses = self.model(batch)
        self.optimizer.zero_grad()
        self.grad_scaler.scale(sum(losses.values())).backward()
        self.after_backward()
        on_host = torch.stack([loss.detach().float() for loss in losses.values()])
        on_host, stopping, failed = self._agree(on_host)
        losses = dict(zip(losses, on_host, strict=True))
        self._check_finite(losses, batch, failed)
        self.stopping = stopping
        self.write_metrics(losses, data_time, self.iter)
        if self.max_norm is not None:
            self.grad_scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.max_norm)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def _agree(self, values: torch.Tensor) -> tuple[torch.Tensor, int, bool]:
        """Copies the losses to the host, together with what the processes tell each other.

        Args:
            values: (N,) losses on the device.

        Returns:
            (N,) losses on the host; the signal that asked a process to stop, or 0; whether a loss is bad.
        """
        asked = values.new_full((1,), float(self._asked_to_stop()))
        flags = torch.cat([asked, 1.0 - values.isfinite().all().float()[None]])
        if comm.get_world_size() > 1:
            dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        on_host = torch.cat([values, flags]).cpu()
        return on_host[:-2], int(on_host[-2]), bool(on_host[-1])

    def _check_finite(self, losses: dict, batch: list, failed: bool) -> None:
        """Raises and dumps if one of the losses (on the host) is not finite, here or in another process."""
        if not failed:
            return
        bad = [f"{name}={value:g}" for name, value in losses.items() if not value.isfinite()]
        if not bad:
            comm.synchronize()
            sys.exit(EXIT_FAILURE)  # the other process says why
        names = [_image_name(item) for item in batch]
        path = self._dump(losses, batch, names)
        comm.synchronize()  # the launcher ends all processes with the first one: the dumps are complete now
        shown = ", ".join(names[:_MAX_FILES_SHOWN]) + (", ..." if names[_MAX_FILES_SHOWN:] else "")
        raise FloatingPointError(
            f"loss became infinite or NaN: {', '.join(bad)} at iteration {self.iter} on images "
            f"{shown}. Try a lower SOLVER.BASE_LR, a longer SOLVER.WARMUP_ITERS, "
            "SOLVER.CLIP_GRADIENTS.ENABLED True, or SOLVER.AMP.PRECISION bfloat16 if AMP is on. "
            f"Batch, losses and weights are saved in {path}"
        )

    def _dump(self, losses: dict, batch: list, names: list[str]) -> str:
        """Saves the state for inspecting the bad loss, as tensors and plain values only."""
        rank = comm.get_rank()
        suffix = f"_rank{rank}" if rank else ""
        path = os.path.join(self.dump_dir, f"nonfinite_iter_{self.iter:07d}{suffix}.pth")
        os.makedirs(self.dump_dir or ".", exist_ok=True)
        model = getattr(self.model, "module", self.model)
        save_atomically(
            {
                "iteration": self.iter,
                "losses": {name: float(value) for name, value in losses.items()},
                "file_names": names,
                "images": [item["image"] for item in batch],
                "key_images": [item.get("key_image") for item in batch],  # second views, None without
                "gt_boxes": [_targets(item, "gt_boxes") for item in batch],
                "gt_classes": [_targets(item, "gt_classes") for item in batch],
                "model": model.state_dict(),
            },
            path,
        )
        return path

    def state_dict(self) -> dict:
        """Adds the loss scale to the optimizer's state."""
        return {**super().state_dict(), "grad_scaler": self.grad_scaler.state_dict()}

    def load_state_dict(self, state_dict: dict) -> None:
        """Restores optimizer and loss scale."""
        super().load_state_dict(state_dict)
        if state_dict["grad_scaler"]:  # empty if the run had no loss scaling
            self.grad_scaler.load_state_dict(state_dict["grad_scaler"])


def _image_name(item: dict) -> str:
    return str(item.get("file_name") or item.get("image_id", "unnamed"))


def _targets(item: dict, field: str) -> torch.Tensor | None:
    """Returns a ground-truth field as a tensor; None if the item has none."""
    instances = item.get("instances")
    if instances is None or not instances.has(field):
        return None
    value = instances.get(field)
    return getattr(value, "tensor", value)
