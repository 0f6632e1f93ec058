"""Time and AP of every kind of mask NMS on the same candidates, the form of the SOLOv2 paper's table 3c.

    python benchmarks/nms_family.py --config-file configs/quick/solov2_tiny.yaml \
        MODEL.WEIGHTS output/demo/train/model_final.pth

The times are those of the NMS call alone, from packed masks to new scores: medians over the images.
"""

import contextlib
import dataclasses
import io
import logging
import statistics
import time
from unittest import mock

import torch

from detectron2.evaluation import inference_on_dataset
from detectron2.modeling import build_model
from solo_d2.engine.cli import run_cli
from solo_d2.engine.run_config import build_cfg, build_parser
from solo_d2.engine.trainer import Trainer
from solo_d2.engine.weights import build_checkpointer
from solo_d2.ops import mask_nms

CALL = "solo_d2.methods.grid.postprocess.mask_nms"
KINDS = (
    ("hard", ""),
    ("soft", "linear"),
    ("soft", "gaussian"),
    ("fast", ""),
    ("matrix", "linear"),
    ("matrix", "gaussian"),
)


def evaluate(cfg, model: torch.nn.Module, nms_type: str, kernel: str) -> tuple[float, float]:
    """Returns the median milliseconds of an NMS call and mask AP on the first test set."""
    model.postprocess = dataclasses.replace(
        model.postprocess, nms_type=nms_type, nms_kernel=kernel or "gaussian"
    )
    times = []

    def timed(*arguments):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        start = time.perf_counter()
        result = mask_nms(*arguments)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1e3)
        return result

    name = cfg.DATASETS.TEST[0]
    with mock.patch(CALL, timed), contextlib.redirect_stdout(io.StringIO()):
        loader, evaluator = Trainer.build_test_loader(cfg, name), Trainer.build_evaluator(cfg, name)
        results = inference_on_dataset(model, loader, evaluator)
    return statistics.median(times), results["segm"]["AP"]


def main() -> None:
    arguments = build_parser().parse_args()
    cfg = build_cfg(arguments)
    model = build_model(cfg).eval()
    build_checkpointer(cfg, model, exact=True).load(cfg.MODEL.WEIGHTS)
    logging.disable(logging.WARNING)
    print("| NMS | time, ms | mask AP |\n| --- | ---: | ---: |")
    for nms_type, kernel in KINDS:
        milliseconds, ap = evaluate(cfg, model, nms_type, kernel)
        print(f"| {nms_type} {kernel} | {milliseconds:.2f} | {ap:.1f} |")


if __name__ == "__main__":
    run_cli(main)
