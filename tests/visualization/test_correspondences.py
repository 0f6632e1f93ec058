from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from solo_d2.visualization.correspondences import draw_correspondences, match_views


def model_of(features):
    """A stand-in for DenseCL whose feature of each view is given, (2, C, side, side)."""
    return SimpleNamespace(
        device=torch.device("cpu"),
        normalize=nn.Identity(),
        backbone=SimpleNamespace(features=lambda _: features),
    )


def test_a_shifted_view_is_matched_by_the_shift():
    whole = torch.eye(9).view(9, 3, 3)  # every cell is like none but itself
    shifted = torch.roll(whole, 1, dims=2)
    pairs, side = match_views(model_of(torch.stack([whole, shifted])), [torch.zeros(3, 6, 6)] * 2, 0.9)
    assert side == 3
    assert sorted(pairs) == [((r, c), (r, (c + 1) % 3)) for r in range(3) for c in range(3)]


def test_threshold_leaves_pairs_out():
    features = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    views = [torch.zeros(3, 6, 6)] * 2
    counts = [len(match_views(model_of(features), views, threshold)[0]) for threshold in (-1.0, 0.9, 1.1)]
    assert counts[0] > counts[1] > counts[2] == 0


def test_lines_join_the_cells():
    views = [np.full((8, 8, 3), 100, np.uint8), np.full((8, 8, 3), 150, np.uint8)]
    plain = draw_correspondences(views, [], 2)
    assert plain.shape == (384, 384 + 16 + 384, 3)
    assert (
        (plain[:, :384] == 100).all() and (plain[:, 384:400] == 255).all() and (plain[:, 400:] == 150).all()
    )
    drawn = draw_correspondences(views, [((0, 0), (0, 1)), ((1, 1), (1, 0))], 2)
    changed = (drawn != plain).any(2)
    for y, x in ((96, 96), (96, 400 + 288), (288, 288), (288, 400 + 96)):
        assert changed[y, x], "both ends are marked"
    assert changed[96, 96:688].all() and changed[288, 288:496].all(), "a line joins them"
    assert not changed[150:250].any()
    assert (drawn[96, 96] != drawn[288, 288]).any(), "pairs have colors of their own"


def test_large_views_keep_their_size():
    assert draw_correspondences([np.zeros((400, 400, 3), np.uint8)] * 2, [], 4).shape == (400, 816, 3)
