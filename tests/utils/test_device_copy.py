"""Copies to the device arrive, and nobody waits for them."""

import pytest
import torch

from solo_d2.utils.device import copy_to_device


def test_on_the_cpu_nothing_is_copied():
    values = torch.arange(6)
    assert copy_to_device(values, torch.device("cpu")) is values


def test_another_device():
    copy = copy_to_device(torch.arange(6).view(2, 3).T, torch.device("meta"))
    assert copy.device.type == "meta" and copy.shape == (3, 2) and copy.dtype == torch.int64


def test_numbers_become_a_tensor():
    device = torch.device("cpu")
    assert copy_to_device((2, 3), device).tolist() == [2, 3]
    assert copy_to_device([(1, 2.5), (3, 4.0)], device).dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_nothing_waits():
    values = torch.arange(6)
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        copy = copy_to_device(values, torch.device("cuda"))
    finally:
        torch.cuda.set_sync_debug_mode(before)
    assert torch.equal(copy.cpu(), values)
