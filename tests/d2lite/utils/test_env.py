"""Seeding."""

import random

import numpy as np
import torch

from detectron2.utils.env import seed_all_rng


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_same_seed_same_numbers(monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "0")  # so that the change is undone
    seed_all_rng(5)
    first = draw()
    seed_all_rng(5)
    assert draw() == first
    seed_all_rng()
    assert draw() != first
