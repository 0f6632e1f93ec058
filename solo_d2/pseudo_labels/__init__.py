"""Pseudo-labels: Free Mask, self-training, and the pipeline of FreeSOLO."""

from .labeling import Labeling, run_labeling
from .self_training import ConfidentPredictions
from .shards import ShardStore

__all__ = ["ConfidentPredictions", "Labeling", "ShardStore", "run_labeling"]
