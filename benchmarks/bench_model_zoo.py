#!/usr/bin/env python
"""Measures the published models' networks: parameters and operations, with --time also CPU time and memory.

python benchmarks/bench_model_zoo.py --count    # counts only; any machine gives the same
python benchmarks/bench_model_zoo.py --time     # an otherwise idle machine; one process per architecture

Results go to benchmarks/results/model_zoo.json, from which tools/model_zoo_table.py writes docs/MODEL_ZOO.md.
One row per architecture: models that differ in training only share it. Weights are random, so no candidate
becomes an instance: it is the backbone and the heads on one 4:3 picture of the config's test size.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from detectron2.modeling import build_model
from solo_d2 import model_zoo
from solo_d2.engine.cli import prepare_parser, run_cli
from solo_d2.model_zoo.catalogue import architectures
from solo_d2.utils.atomic_file import write_text

RESULTS = Path(__file__).parent / "results" / "model_zoo.json"
REPEATS = 3  # of which the median counts, after one to warm up
STRIDE = 32  # of the padding


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--count", action="store_true", help="parameters and multiply-adds")
    what.add_argument("--time", action="store_true", help="CPU seconds per picture and peak memory")
    what.add_argument("--one", metavar="NAME", help="time one published model and print the result as JSON")
    parser.add_argument("--json", default=str(RESULTS), metavar="FILE", help="results (%(default)s)")
    return prepare_parser(parser)


def picture_size(cfg) -> tuple[int, int]:
    """Height and width of a 4:3 picture as the network sees it."""
    short = cfg.INPUT.MIN_SIZE_TEST
    long = min(round(short * 4 / 3), cfg.INPUT.MAX_SIZE_TEST)
    return tuple(-(-side // STRIDE) * STRIDE for side in (short, long))


def run_network(model: torch.nn.Module, images: torch.Tensor) -> None:
    """Backbone and heads; what depends on a picture's instances is left out."""
    features = model.backbone(images)
    names = getattr(model, "instance_in_features", None) or model.in_features
    model.head([features[name] for name in names])
    masks = getattr(model, "mask_branch", None) or getattr(model, "mask_head", None)
    if masks is not None:
        masks([features[name] for name in model.mask_in_features])


def count(name: str) -> dict:
    """Millions of parameters and billions of multiply-adds of convolutions and matrix products."""
    cfg = model_zoo.get_config(name)
    cfg.MODEL.DEVICE = "meta"
    height, width = picture_size(cfg)
    with torch.device("meta"), torch.no_grad():
        model = build_model(cfg).eval()
        counter = FlopCounterMode(display=False)
        with counter:
            run_network(model, torch.zeros(1, 3, height, width))
    weights = sum(value.numel() for value in model.parameters())
    return {
        "input": f"{height}x{width}",
        "parameters_million": round(weights / 1e6, 1),
        "multiply_adds_billion": round(counter.get_total_flops() / 2e9, 1),
    }


def measure(name: str) -> dict:
    """Returns median seconds and this process's peak memory; must run in a separate process."""
    cfg = model_zoo.get_config(name)
    model = model_zoo.get(name, pretrained=False, device="cpu")
    height, width = picture_size(cfg)
    image = torch.randint(0, 256, (3, height, width)).float()
    seconds = []
    with torch.no_grad():
        for _ in range(REPEATS + 1):
            start = time.perf_counter()
            model([{"image": image, "height": height, "width": width}])
            seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"cpu_seconds": round(statistics.median(seconds[1:]), 2), "peak_memory_mib": round(peak / 2**20)}


def machine() -> str:
    """Processor, number of threads and PyTorch version."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return f"{model}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"


def main() -> None:
    arguments = build_parser().parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    path = Path(arguments.json)
    results = json.loads(path.read_text()) if path.is_file() else {"machine": None, "rows": {}}
    for architecture, name in architectures().items():
        if arguments.count:
            row = count(name)
        else:
            command = [sys.executable, "-W", "ignore", __file__, "--one", name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            results["machine"] = machine()
        results["rows"].setdefault(architecture, {}).update(row)
        print(architecture, row, flush=True)
        write_text(path, [json.dumps(results, indent=1), "\n"])


if __name__ == "__main__":
    run_cli(main)
