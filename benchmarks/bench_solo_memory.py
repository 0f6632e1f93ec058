"""Peak memory of one training step of Decoupled SOLO against SOLO (SOLO paper, section 4).

    python benchmarks/bench_solo_memory.py
    python benchmarks/bench_solo_memory.py --json rows.json

One R50-FPN image of 800x1216 with 20 instances, float32: forward, losses, backward. Every model runs in a
separate process, because a process's peak never falls. On a GPU the figure is PyTorch's peak of allocated
memory, on a CPU the process's peak resident memory (Linux); both exclude memory in use before the step.
"""

import subprocess
import sys
from pathlib import Path

import torch
from timing import parse_args, report, row

import solo_d2  # noqa: F401  (registers the models)
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from solo_d2.config import get_cfg

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
BASELINE = "SOLO/solo_R50_1x.yaml"
# The light model is made for smaller images; here it gets the same image as the others.
OURS = {
    "Decoupled SOLO": "SOLO/decoupled_solo_R50_1x.yaml",
    "Decoupled SOLO light": "SOLO/decoupled_solo_light_R50_3x.yaml",
    "SOLOv2": "SOLOv2/solov2_R50_1x.yaml",
}
SIZE = (800, 1216)
NUM_INSTANCES = 20


def make_input() -> dict:
    """Random pixels with rectangles of 20 to 500 pixels."""
    generator = torch.Generator().manual_seed(0)
    sides = torch.exp(3 + 3.2 * torch.rand(NUM_INSTANCES, 2, generator=generator))
    corners = torch.rand(NUM_INSTANCES, 2, generator=generator) * torch.tensor([SIZE[1], SIZE[0]]) * 0.6
    boxes = torch.cat([corners, corners + sides], dim=1)
    masks = torch.zeros(NUM_INSTANCES, *SIZE, dtype=torch.bool)
    for mask, box in zip(masks, boxes.long().tolist(), strict=True):
        mask[box[1] : box[3], box[0] : box[2]] = True
    instances = Instances(SIZE)
    instances.gt_boxes = Boxes(boxes)
    instances.gt_boxes.clip(SIZE)
    instances.gt_masks = BitMasks(masks)
    instances.gt_classes = torch.randint(80, (NUM_INSTANCES,), generator=generator)
    image = torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8, generator=generator)
    return {"image": image, "instances": instances}


def status_mb(name: str) -> float:
    """A line of Linux's account of this process, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) / 1024


def step_memory_mb(config: str) -> float:
    """Extra peak memory of one training step."""
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIGS / config))
    cfg.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    model = build_model(cfg)
    batch = [make_input()]
    if cfg.MODEL.DEVICE == "cpu":
        before = status_mb("VmRSS")
        sum(model(batch).values()).backward()
        return status_mb("VmHWM") - before
    before = torch.cuda.memory_allocated()
    sum(model(batch).values()).backward()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def measure(config: str) -> float:
    """Runs :func:`step_memory_mb` in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--one", config]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(step_memory_mb(sys.argv[2]))
        return
    args = parse_args(__doc__.split("\n")[0])
    baseline = measure(BASELINE)
    where = "GPU" if torch.cuda.is_available() else "CPU"
    title = f"training step, 800x1216, R50, {where}, baseline SOLO:"
    report([row(f"{title} {name}", measure(path), baseline, "MB") for name, path in OURS.items()], args.json)


if __name__ == "__main__":
    main()
