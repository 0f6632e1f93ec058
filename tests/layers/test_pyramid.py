"""Re-scaling of the first and the last pyramid level."""

import torch

from solo_d2.layers import rescale_pyramid, upsample


def test_single_level_is_left_alone():
    x = torch.randn(1, 2, 8, 8)
    assert rescale_pyramid([x])[0] is x


def test_golden_resized_levels(golden):
    data = golden("utils").load("utils")
    outputs = rescale_pyramid([data[f"resize_in{i}"] for i in range(5)])
    for i, output in enumerate(outputs):
        torch.testing.assert_close(output, data[f"resize_out{i}"], atol=1e-6, rtol=0)


def test_upsample_doubles_both_sides():
    x = torch.randn(2, 3, 3, 5)
    expected = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.equal(upsample(x), expected)
