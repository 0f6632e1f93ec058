import torch
import torch.nn.functional as F

from solo_d2.layers import restore_size


def test_upsamples_crops_and_resizes():
    maps = torch.randn(1, 3, 8, 8)
    upsampled = F.interpolate(maps, scale_factor=4, mode="bilinear")[..., :30, :25]
    assert torch.equal(restore_size(maps, (30, 25), (30, 25), 4), upsampled)
    resized = F.interpolate(upsampled, size=(61, 50), mode="bilinear")
    assert torch.equal(restore_size(maps, [30, 25], (61, 50), 4), resized)


def test_padding_has_no_influence_on_maps_of_its_own_stride():
    maps = torch.ones(1, 1, 4, 4)
    maps[..., 2:] = 100
    assert torch.allclose(restore_size(maps, (4, 2), (9, 9), 1), torch.ones(1, 1, 9, 9))
