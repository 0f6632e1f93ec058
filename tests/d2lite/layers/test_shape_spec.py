"""ShapeSpec: a value with everything optional."""

from detectron2.layers import ShapeSpec


def test_shape_spec():
    shape = ShapeSpec(channels=3, stride=4)
    assert (shape.channels, shape.height, shape.width, shape.stride) == (3, None, None, 4)
    assert shape == ShapeSpec(3, None, None, 4)
    assert ShapeSpec() != shape
