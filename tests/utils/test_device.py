"""The device of a model is one of this machine, or one line says which name is wrong."""

import logging

import pytest
import torch

from solo_d2.utils.device import available_device, choose_device
from solo_d2.utils.errors import InputError


def test_devices_that_are_there():
    assert available_device("cpu") == choose_device("cpu", "cuda") == "cpu"
    assert choose_device(torch.device("cpu"), "cuda") == "cpu"
    assert available_device("meta") == "meta"


def test_the_default_falls_back_to_the_cpu(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with caplog.at_level(logging.INFO):
        assert available_device("cuda") == choose_device(None, "cuda") == "cpu"
    assert "running on the CPU" in caplog.text


@pytest.mark.parametrize("name", ["gpu", "", "cuda:-1", "cuda:x", "0"])
def test_names_of_no_device(name):
    for choose, source in (
        (available_device, "MODEL.DEVICE"),
        (lambda it: choose_device(it, "cpu"), "device"),
    ):
        with pytest.raises(InputError, match=f"^{source} '{name}' is no device: give cpu, cuda"):
            choose(name)


@pytest.mark.parametrize(
    ("count", "name", "advice"),
    [
        (0, "cuda:3", "this machine has no GPU; give cpu"),
        (2, "cuda:2", "this machine has 2 GPUs; give cuda:0 to cuda:1"),
        (2, "cuda:1", ""),
        (2, "cuda", ""),
    ],
)
def test_numbers_of_gpus(monkeypatch, count, name, advice):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    if not advice:
        assert available_device(name) == choose_device(name, "cpu") == name
        return
    with pytest.raises(InputError, match=f"MODEL.DEVICE {name}: {advice}"):
        available_device(name)
    with pytest.raises(InputError, match=f"device {name}: {advice}"):
        choose_device(name, "cpu")


def test_an_explicit_gpu_does_not_fall_back(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match="device cuda: this machine has no GPU; give cpu"):
        choose_device("cuda", "cpu")


@pytest.mark.parametrize("name", ["mps", "xpu", "xla"])
def test_devices_of_other_machines(name):
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, ImportError):
        with pytest.raises(
            InputError, match=f"MODEL.DEVICE {name}: this machine or this PyTorch does not have it"
        ):
            available_device(name)
    else:
        assert available_device(name) == name
