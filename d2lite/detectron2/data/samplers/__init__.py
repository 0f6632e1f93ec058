"""The order of a dataset's elements, and their division among processes."""

from .distributed_sampler import InferenceSampler, RepeatFactorTrainingSampler, TrainingSampler

__all__ = ["InferenceSampler", "RepeatFactorTrainingSampler", "TrainingSampler"]
