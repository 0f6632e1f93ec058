"""Training steps on a CPU: weight gradients of 3x3 convolutions, and a whole step on photographs.

    python benchmarks/bench_training_step.py
    python benchmarks/bench_training_step.py --json rows.json

The baseline is the same model, or convolution, with PyTorch's own weight gradients, channels-last. The step
is that of configs/quick/condinst_photos.yaml with four noise pictures of 352 x 470 and four objects each:
forward, backward and AdamW. Times are CPU times; gradients are compared before they are timed. On a CPU with
AVX-512 both sides of the step are the same.
"""

import time
from collections.abc import Callable
from functools import partial

import torch
from timing import interleaved_ms, parse_args, report, row
from torch import Tensor, nn

from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from solo_d2.config.loading import load_config
from solo_d2.engine.conv_gradient import speed_up_gradients, weight_gradient

# Pictures, input and output channels, map size: the finest maps of the photographs' model, and of R50-FPN.
CASES = ((4, 128, 128, (88, 120)), (4, 128, 128, (44, 60)), (2, 256, 256, (100, 152)))
PICTURE, OBJECTS, BATCH = (352, 470), 4, 4


def pytorch_gradient(x: Tensor, gradient: Tensor) -> Tensor:
    """PyTorch's weight gradient, computed alone."""
    channels = gradient.shape[1], x.shape[1]
    weight = torch.empty(*channels, 3, 3).contiguous(memory_format=torch.channels_last)
    ones, wanted = [1, 1], [False, True, False]
    return torch.ops.aten.convolution_backward(
        gradient, x, weight, [channels[0]], ones, ones, ones, False, [0, 0], 1, wanted
    )[1]


def gradient_rows(repeats: int) -> list[dict]:
    rows = []
    for batch, channels, out_channels, size in CASES:
        x, gradient = (
            torch.randn(batch, c, *size).contiguous(memory_format=torch.channels_last)
            for c in (channels, out_channels)
        )
        forms = [partial(form, x, gradient) for form in (weight_gradient, pytorch_gradient)]
        torch.testing.assert_close(forms[0](), forms[1](), rtol=1e-3, atol=1e-2)
        title = f"weight gradient {channels} to {out_channels}, {batch} x {size[0]} x {size[1]}"
        rows.append(row(title, *interleaved_ms(forms, repeats, time.process_time), "ms"))
    return rows


def make_picture() -> dict:
    masks = torch.zeros(OBJECTS, *PICTURE, dtype=torch.bool)
    corners = torch.stack([torch.randint(0, side - 110, (OBJECTS,)) for side in reversed(PICTURE)], dim=1)
    for mask, (x, y) in zip(masks, corners.tolist(), strict=True):
        mask[y : y + 100, x : x + 110] = True
    instances = Instances(PICTURE)
    instances.gt_boxes = Boxes(torch.cat([corners, corners + torch.tensor([110, 100])], dim=1).float())
    instances.gt_classes = torch.randint(0, 2, (OBJECTS,))
    instances.gt_masks = BitMasks(masks)
    return {"image": torch.randint(0, 256, (3, *PICTURE), dtype=torch.uint8), "instances": instances}


def make_step(batch: list[dict], fast: bool) -> tuple[nn.Module, Callable[[], None]]:
    torch.manual_seed(0)
    model = build_model(load_config("quick/condinst_photos", ["MODEL.DEVICE", "cpu"])).train()
    if fast:
        speed_up_gradients(model)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)

    def step() -> None:
        losses = model(batch)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()

    return model, step


def step_rows(repeats: int) -> list[dict]:
    torch.manual_seed(0)
    batch = [make_picture() for _ in range(BATCH)]
    models, steps = zip(*(make_step(batch, fast) for fast in (True, False)), strict=True)
    for step in steps:
        torch.manual_seed(1)
        step()
    for ours, theirs in zip(*(model.parameters() for model in models), strict=True):
        scale = float(theirs.grad.abs().max())
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-2, atol=1e-2 * scale + 1e-6)
    return [row("step on photographs", *interleaved_ms(steps, repeats, time.process_time), "ms")]


def main() -> None:
    args = parse_args(__doc__.splitlines()[0])
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {capability}")
    report(gradient_rows(args.repeats) + step_rows(args.repeats), args.json)


if __name__ == "__main__":
    main()
