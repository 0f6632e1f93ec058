"""Coordinate channels: values, order, dtype."""

import pytest
import torch

from solo_d2.layers import append_coordinates, coordinate_channels


def test_x_then_y_from_minus_one_to_one():
    result = append_coordinates(torch.zeros(2, 3, 4, 5))
    assert result.shape == (2, 5, 4, 5)
    for column in range(5):
        assert result[:, 3, :, column].allclose(torch.tensor(-1 + column / 2))
    for row in range(4):
        assert result[:, 4, row].allclose(torch.tensor(-1 + 2 * row / 3))


def test_one_pixel_and_half_precision():
    result = append_coordinates(torch.ones(1, 1, 1, 1, dtype=torch.bfloat16))
    assert result.dtype == torch.bfloat16
    assert result.flatten().tolist() == [1, -1, -1]


@pytest.mark.parametrize("size", [(3, 4), (16, 24)])
def test_golden_coordinates(golden, size):
    expected = golden("utils").load("utils")[f"coord_{size[0]}x{size[1]}"]
    ours = append_coordinates(torch.empty(len(expected), 0, *size))
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("axes, channels", [("x", [3]), ("y", [4]), ("xy", [3, 4])])
def test_chosen_axes(axes, channels):
    features = torch.randn(2, 3, 4, 5)
    both = append_coordinates(features)
    assert torch.equal(append_coordinates(features, axes), both[:, [0, 1, 2, *channels]])


def test_channels_alone_are_what_is_appended():
    features = torch.randn(2, 3, 4, 5)
    assert torch.equal(coordinate_channels(features, "yx"), append_coordinates(features, "yx")[:, 3:])
    assert torch.equal(coordinate_channels(features, "yx"), append_coordinates(features)[:, [4, 3]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exported_for_every_length(dtype):
    class Coordinates(torch.nn.Module):
        def forward(self, features):
            return coordinate_channels(features)

    sizes = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    exported = torch.export.export(
        Coordinates(), (torch.zeros(1, 1, 5, 7, dtype=dtype),), dynamic_shapes=(sizes,)
    ).module()
    for height, width in [(2, 3), (6, 40), (152, 304)]:
        features = torch.zeros(1, 1, height, width, dtype=dtype)
        atol = 2 * torch.finfo(dtype).eps
        torch.testing.assert_close(exported(features), coordinate_channels(features), atol=atol, rtol=0)
