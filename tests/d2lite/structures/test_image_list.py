"""Padding of images to one tensor."""

import pytest
import torch

from detectron2.structures import ImageList


def images(*sizes):
    return [torch.full((3, h, w), float(i + 1)) for i, (h, w) in enumerate(sizes)]


@pytest.mark.parametrize(
    "sizes, divisibility, constraints, expected",
    [
        ([(30, 50)], 0, None, (30, 50)),
        ([(30, 50)], 1, None, (30, 50)),
        ([(30, 50)], 32, None, (32, 64)),
        ([(32, 64), (30, 64)], 32, None, (32, 64)),
        ([(30, 50), (45, 20)], 0, {}, (45, 50)),
        ([(30, 50), (45, 20)], 32, {"size_divisibility": 64}, (64, 64)),
        ([(30, 50), (45, 20)], 0, {"square_size": 100}, (100, 100)),
        ([(30, 50), (45, 20)], 0, {"square_size": 100, "size_divisibility": 32}, (128, 128)),
        ([(30, 50)], 16, {"square_size": 0}, (32, 64)),
    ],
)
def test_common_size(sizes, divisibility, constraints, expected):
    tensors = images(*sizes)
    batch = ImageList.from_tensors(tensors, divisibility, pad_value=-1.0, padding_constraints=constraints)
    assert batch.tensor.shape == (len(sizes), 3, *expected)
    assert [tuple(size) for size in batch.image_sizes] == sizes and len(batch) == len(sizes)
    for index, (image, (height, width)) in enumerate(zip(tensors, sizes, strict=True)):
        torch.testing.assert_close(batch[index], image)
        assert (batch.tensor[index, :, height:] == -1).all()
        assert (batch.tensor[index, :, :, width:] == -1).all()


def test_dtype_rank_device_and_inputs_are_kept():
    masks = [torch.ones(4, 5, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64)]
    batch = ImageList.from_tensors(masks, pad_value=255)
    assert batch.tensor.shape == (2, 4, 7) and batch.tensor.dtype == torch.int64
    assert batch.tensor[1, 3, 0] == 255 and masks[1].shape == (2, 7)
    assert batch.to(torch.float32).tensor.dtype == torch.float32
    assert batch.device == torch.device("cpu")


def test_channels_must_agree():
    with pytest.raises(AssertionError):
        ImageList.from_tensors([torch.zeros(3, 4, 4), torch.zeros(1, 4, 4)])
