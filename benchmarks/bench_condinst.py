"""CondInst's mask head: its share of the detector's time, against grouped convolutions, and its memory.

    python benchmarks/bench_condinst.py
    python benchmarks/bench_condinst.py --repeats 11 --json rows.json

The grouped-convolution baseline is the usual form: coordinates and features are copied per instance, all
instances are laid side by side as channels, and each layer is one convolution with as many groups as there
are instances. Both forms' masks are compared before the clock starts.
"""

import subprocess
import sys
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from timing import median_ms, parse_args, report, row

import solo_d2  # noqa: F401  (registers the models)
from detectron2.modeling import build_model
from solo_d2.config import get_cfg
from solo_d2.layers import aligned_bilinear
from solo_d2.methods.condinst.mask_head import DynamicMaskHead
from solo_d2.ops import box_nms
from solo_d2.utils.settings import build

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "CondInst" / "condinst_R50_1x.yaml"
SIZE = (800, 1216)
FEATURE_SIZE = (100, 152)
NUM_INSTANCES = 100
# Of the detector's time, and of the result's memory.
TIME_SHARE_LIMIT, MEMORY_LIMIT = 0.2, 1.2
NUM_BOXES, NUM_CLASSES = 5000, 80


make_head = partial(
    build,
    DynamicMaskHead,
    get_cfg(),
    "MODEL.CONDINST.MASK_HEAD",
    in_channels=8,
    stride=8,
    upsampling=2,
)


def make_inputs() -> tuple[torch.Tensor, ...]:
    """Features (1, 8, h, w), numbers (1, M, 169), locations (1, M, 2) and sizes (1, M) of one image."""
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(1, 8, *FEATURE_SIZE, generator=generator),
        0.1 * torch.randn(1, NUM_INSTANCES, make_head().num_params, generator=generator),
        torch.rand(1, NUM_INSTANCES, 2, generator=generator) * torch.tensor([SIZE[1], SIZE[0]]),
        64.0 * 2 ** torch.randint(5, (1, NUM_INSTANCES), generator=generator),
    )


def grouped_convolutions(features, params, locations, sizes) -> torch.Tensor:
    """The mask head of one image as convolutions with one group per instance."""
    height, width = features.shape[2:]
    count = params.shape[1]
    y, x = torch.meshgrid(torch.arange(height) * 8 + 4, torch.arange(width) * 8 + 4, indexing="ij")
    pixels = torch.stack([x, y]).float()
    coordinates = (locations[0][..., None, None] - pixels) / sizes[0][:, None, None, None]
    hidden = torch.cat([coordinates, features.expand(count, -1, -1, -1)], dim=1)
    hidden = hidden.reshape(1, -1, height, width)
    *weights, b0, b1, b2 = params[0].split([80, 64, 8, 8, 8, 1], dim=1)
    shapes = ((8, 10), (8, 8), (1, 8))
    for i, (weight, bias, (out, inner)) in enumerate(zip(weights, (b0, b1, b2), shapes, strict=True)):
        hidden = hidden.relu() if i else hidden
        kernel = weight.reshape(count * out, inner, 1, 1)
        hidden = F.conv2d(hidden, kernel, bias.flatten(), groups=count)
    return aligned_bilinear(hidden.view(count, 1, height, width), 2).view(1, count, 2 * height, 2 * width)


def peak_memory_ratio(grouped: bool) -> float:
    """Growth of the process's peak memory during one call, in units of the result's memory (Linux)."""
    inputs = make_inputs()
    function = grouped_convolutions if grouped else make_head()
    few = tuple(x[:, :2] if i else x for i, x in enumerate(inputs))
    function(*few)  # libraries are loaded, threads started

    def peak_kb() -> int:
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

    before = peak_kb()
    masks = function(*inputs)
    return (peak_kb() - before) * 1024 / (masks.numel() * masks.element_size())


def measure_peak(grouped: bool) -> float:
    """In a process of its own, because a process's peak memory never falls."""
    command = [sys.executable, __file__, "--peak-memory", str(int(grouped))]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def detector_ms(repeats: int) -> float:
    """Median time of R50-FPN and FCOS's head, controller included, on one image."""
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIG))
    cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg).eval()
    image = torch.zeros(1, 3, *SIZE).contiguous(memory_format=torch.channels_last)

    def run():
        features = model.backbone(image)
        model.head([features[f] for f in model.in_features])

    return median_ms(run, repeats)


def greedy_nms(boxes: torch.Tensor, labels: torch.Tensor, threshold: float) -> torch.Tensor:
    """One box at a time against all that are left."""
    left = torch.arange(len(boxes))
    kept = []
    while len(left):
        first, rest = left[0], left[1:]
        kept.append(int(first))
        corner = torch.minimum(boxes[rest, 2:], boxes[first, 2:]) - torch.maximum(
            boxes[rest, :2], boxes[first, :2]
        )
        intersection = corner.clamp(min=0).prod(1)
        area = (boxes[rest, 2:] - boxes[rest, :2]).prod(1)
        union = area + (boxes[first, 2:] - boxes[first, :2]).prod() - intersection
        left = rest[~((intersection > threshold * union) & (labels[rest] == labels[first]))]
    return torch.tensor(kept)


def nms_row(repeats: int) -> dict:
    generator = torch.Generator().manual_seed(0)
    centers = torch.rand(60, 2, generator=generator)[torch.randint(60, (NUM_BOXES,), generator=generator)]
    centers = centers * torch.tensor([SIZE[1], SIZE[0]]) + 15 * torch.randn(NUM_BOXES, 2, generator=generator)
    half = 20 + 60 * torch.rand(NUM_BOXES, 2, generator=generator)
    boxes = torch.cat([centers - half, centers + half], dim=1)
    labels = torch.randint(4, (NUM_BOXES,), generator=generator)
    assert torch.equal(box_nms(boxes, labels, 0.6), greedy_nms(boxes, labels, 0.6))
    return row(
        f"box NMS, {NUM_BOXES} candidates, all survivors; baseline: one box at a time",
        median_ms(lambda: box_nms(boxes, labels, 0.6), repeats),
        median_ms(lambda: greedy_nms(boxes, labels, 0.6), 1),
        "ms",
    )


def main() -> None:
    if sys.argv[1:2] == ["--peak-memory"]:
        print(peak_memory_ratio(grouped=sys.argv[2] == "1"))
        return
    args = parse_args(__doc__.split("\n")[0])
    head, inputs = make_head(), make_inputs()
    torch.testing.assert_close(head(*inputs), grouped_convolutions(*inputs), atol=1e-4, rtol=1e-4)
    ours = median_ms(lambda: head(*inputs), args.repeats)
    what = f"mask head, {NUM_INSTANCES} instances, {FEATURE_SIZE[0]}x{FEATURE_SIZE[1]}"
    rows = [
        row(
            f"{what}; baseline: {TIME_SHARE_LIMIT:.0%} of R50-FPN and FCOS head",
            ours,
            TIME_SHARE_LIMIT * detector_ms(args.repeats),
            "ms",
        ),
        row(
            f"{what}; baseline: grouped convolutions",
            ours,
            median_ms(lambda: grouped_convolutions(*inputs), args.repeats),
            "ms",
        ),
        row(
            f"{what}, peak memory; baseline: the limit set for it",
            measure_peak(grouped=False),
            MEMORY_LIMIT,
            "x result",
        ),
        row(
            f"{what}, peak memory; baseline: grouped convolutions",
            measure_peak(grouped=False),
            measure_peak(grouped=True),
            "x result",
        ),
        nms_row(args.repeats),
    ]
    report(rows, args.json)


if __name__ == "__main__":
    with torch.no_grad():
        main()
