"""Extra cost of a DenseCL training step over a MoCo-v2 step: the dense head, the matching, the dense loss.

    python benchmarks/bench_densecl.py
    python benchmarks/bench_densecl.py --repeats 11 --json rows.json
    python benchmarks/bench_densecl.py --config-file configs/DenseCL/densecl_R50_coco.yaml --batch-size 32

Both are the same model, MoCo-v2 with a lambda of 0. A step is forward, backward and optimizer; the two take
turns. The baseline is 1.03 times MoCo-v2's step: a ratio above 1 keeps the limit of 3 %.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from timing import build_parser, interleaved_ms, report, row

import solo_d2  # noqa: F401  (registers the models)
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.solver import build_optimizer
from solo_d2.config import get_cfg

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "quick" / "densecl_tiny.yaml"
LIMIT = 1.03
AMP_DTYPES = {"": None, "float16": torch.float16, "bfloat16": torch.bfloat16}


def read_arguments() -> argparse.Namespace:
    parser = build_parser(__doc__.split("\n")[0])
    parser.add_argument("--config-file", type=Path, default=CONFIG, help="(%(default)s)")
    parser.add_argument("--batch-size", type=int, help="images of this process (default: the config's)")
    parser.add_argument("--amp", choices=AMP_DTYPES, help="mixed precision (default: the config's)")
    return parser.parse_args()


def load(arguments: argparse.Namespace) -> CfgNode:
    cfg = get_cfg()
    cfg.merge_from_file(str(arguments.config_file))
    cfg.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    cfg.MODEL.WEIGHTS = ""
    if arguments.batch_size:
        cfg.SOLVER.IMS_PER_BATCH = arguments.batch_size
    if arguments.amp is None:
        arguments.amp = cfg.SOLVER.AMP.PRECISION if cfg.SOLVER.AMP.ENABLED else ""
    if cfg.FLOAT32_PRECISION:
        torch.set_float32_matmul_precision(cfg.FLOAT32_PRECISION)
    return cfg


def make_batch(cfg: CfgNode) -> list[dict]:
    """Random views, on the device already: loading them costs both methods the same."""
    size = cfg.INPUT.VIEWS.SIZE
    views = torch.randint(0, 256, (2, cfg.SOLVER.IMS_PER_BATCH, 3, size, size), dtype=torch.uint8)
    pairs = zip(*views.to(cfg.MODEL.DEVICE), strict=True)
    return [{"image": image, "key_image": key_image} for image, key_image in pairs]


def make_step(
    cfg: CfgNode, weight: float, batch: list[dict], dtype: torch.dtype | None
) -> Callable[[], None]:
    """One training step with the given lambda."""
    cfg = cfg.clone()
    cfg.MODEL.DENSECL.LAMBDA = weight
    torch.manual_seed(0)
    model = build_model(cfg).train()
    optimizer = build_optimizer(cfg, model)

    def step():
        with torch.autocast(cfg.MODEL.DEVICE, dtype=dtype, enabled=dtype is not None):
            losses = model(batch)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        if cfg.MODEL.DEVICE == "cuda":
            torch.cuda.synchronize()

    return step


def main() -> None:
    arguments = read_arguments()
    cfg = load(arguments)
    batch, dtype = make_batch(cfg), AMP_DTYPES[arguments.amp]
    if cfg.MODEL.DENSECL.LAMBDA == 0:
        raise SystemExit(f"{arguments.config_file} is MoCo-v2 already: its lambda is 0")
    steps = [make_step(cfg, weight, batch, dtype) for weight in (cfg.MODEL.DENSECL.LAMBDA, 0.0)]
    dense, plain = interleaved_ms(steps, arguments.repeats)
    what = (
        f"DenseCL step, R{cfg.MODEL.RESNETS.DEPTH}, {len(batch)} x {cfg.INPUT.VIEWS.SIZE} px, queue "
        f"{cfg.MODEL.DENSECL.QUEUE_SIZE}, {arguments.amp or 'float32'}, {cfg.MODEL.DEVICE}"
    )
    print(f"MoCo-v2 {plain:.1f} ms, DenseCL {dense:.1f} ms: {100 * (dense / plain - 1):+.2f} %")
    report([row(f"{what}; baseline: {LIMIT} x MoCo-v2", dense, LIMIT * plain, "ms")], arguments.json)


if __name__ == "__main__":
    main()
