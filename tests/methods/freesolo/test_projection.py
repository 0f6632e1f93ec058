"""Projection losses against float64 loops, values and gradients."""

import pytest
import torch

from solo_d2.methods.freesolo.losses import average_projection_loss, max_projection_loss

SHAPES = [(1, 5, 7), (4, 9, 6), (3, 1, 8)]


def dice(p, q):
    """Over lists of float64 scalars."""
    overlap = sum(a * b for a, b in zip(p, q, strict=True))
    return 1 - 2 * overlap / (sum(a * a for a in p) + sum(b * b for b in q) + 1e-5)


def projection_by_loops(mask, target, reduce):
    h, w = mask.shape
    rows = [reduce([mask[y, x] for x in range(w)]) for y in range(h)]
    columns = [reduce([mask[y, x] for y in range(h)]) for x in range(w)]
    wanted_rows = [reduce([target[y, x] for x in range(w)]) for y in range(h)]
    wanted_columns = [reduce([target[y, x] for y in range(h)]) for x in range(w)]
    return dice(rows, wanted_rows) + dice(columns, wanted_columns)


LOSSES = {
    "max": (max_projection_loss, lambda values: torch.stack(values).amax()),
    "average": (average_projection_loss, lambda values: sum(values) / len(values)),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_loops(name, shape):
    loss, reduce = LOSSES[name]
    generator = torch.Generator().manual_seed(sum(shape))
    logits = torch.randn(shape, generator=generator)
    targets = torch.rand(shape, generator=generator) < 0.4
    ours, reference = logits.clone().requires_grad_(), logits.double().requires_grad_()
    values = loss(ours.sigmoid(), targets)
    soft = reference.sigmoid()
    expected = torch.stack(
        [projection_by_loops(m, t.double(), reduce) for m, t in zip(soft, targets, strict=True)]
    )
    torch.testing.assert_close(values.double(), expected, atol=1e-6, rtol=1e-6)
    values.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad.double(), reference.grad, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_perfect_and_empty_masks(name):
    loss = LOSSES[name][0]
    masks = torch.zeros(3, 200, 300, dtype=torch.bool)
    masks[0, 20:30, 40:44] = True
    masks[1, 7, 9] = True  # an average projection of 1 / 300
    perfect = loss(masks.float(), masks)
    assert perfect[0] < 0.01 and perfect[1] < 0.05 if name == "max" else perfect[0] < 0.01
    assert perfect[2] == 2  # an empty target is never hit
    assert loss(torch.zeros(0, 4, 5), torch.zeros(0, 4, 5, dtype=torch.bool)).shape == (0,)


def test_average_tells_a_ring_from_a_disc_and_maximum_does_not():
    """The paper's reason for the average projection: figure 6.5."""
    disc = torch.zeros(1, 16, 16, dtype=torch.bool)
    disc[:, 4:12, 4:12] = True
    ring = disc.clone()
    ring[:, 5:11, 5:11] = False
    assert max_projection_loss(ring.float(), disc).item() == pytest.approx(0, abs=1e-5)
    assert average_projection_loss(ring.float(), disc).item() > 0.1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_float32(dtype):
    masks = torch.rand(2, 6, 7) < 0.5
    for loss, _ in LOSSES.values():
        assert loss(torch.rand(2, 6, 7).to(dtype), masks).dtype == torch.float32
