"""GIoU of distances against boxes on a plane."""

import torch

from solo_d2.methods.condinst.losses import distance_giou_loss


def giou(a, b) -> float:
    def area(box):
        return (box[2] - box[0]) * (box[3] - box[1])

    corner = [max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])]
    hull = [min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]
    union = area(a) + area(b) - area(corner)
    return area(corner) / union - (area(hull) - union) / area(hull)


def test_matches_boxes():
    generator = torch.Generator().manual_seed(0)
    ours, wanted = torch.rand(2, 50, 4, generator=generator, dtype=torch.float64) * 30
    x, y = 17.0, 41.0
    expected = [
        1 - giou(*[(x - d[0], y - d[1], x + d[2], y + d[3]) for d in (p, q)])
        for p, q in zip(ours.tolist(), wanted.tolist(), strict=True)
    ]
    loss = distance_giou_loss(ours, wanted)
    torch.testing.assert_close(loss, torch.tensor(expected), rtol=1e-5, atol=1e-5)
    scaled = distance_giou_loss(8 * ours, 8 * wanted)
    torch.testing.assert_close(scaled, loss)


def test_boxes_without_area_keep_loss_and_gradient_finite():
    distances = torch.zeros(3, 4, requires_grad=True)
    loss = distance_giou_loss(distances, torch.tensor([[0.0] * 4, [1.0] * 4, [0.0, 0, 2, 0]]))
    loss.sum().backward()
    assert loss.isfinite().all() and distances.grad.isfinite().all()
