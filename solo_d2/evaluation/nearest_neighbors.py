"""Nearest-neighbor classification of embeddings, each image against all others."""

import itertools

import torch
from torch import Tensor

from detectron2.data import DatasetCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

# Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", section 3.4.
TEMPERATURE = 0.07
NUM_NEIGHBORS = 20


class NearestNeighborEvaluator(DatasetEvaluator):
    """Leave-one-out accuracy of weighted nearest neighbors on a data set of "class_folders".

    It monitors pre-training: no classifier is trained, and nothing is learned from the labels.
    """

    def __init__(self, dataset_name: str, num_neighbors: int = NUM_NEIGHBORS):
        """
        Args:
            dataset_name: A registered data set whose records have "image_id" and "class_id".
            num_neighbors: Number of images that vote, at most all others.
        """
        self._classes = {r["image_id"]: r["class_id"] for r in DatasetCatalog.get(dataset_name)}
        self._num_neighbors = num_neighbors
        self.reset()

    def reset(self) -> None:
        """Discards all processed images."""
        self._embeddings: dict[int, Tensor] = {}

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Adds images' "image_id" and models' "embedding", (C,) of length 1."""
        for given, output in zip(inputs, outputs, strict=True):
            self._embeddings[given["image_id"]] = output["embedding"].float().cpu()

    def evaluate(self) -> dict | None:
        """Returns {"knn": {"top1": percent of images whose neighbors name their class}}; None off rank 0."""
        gathered = comm.gather(list(self._embeddings.items()))
        if not comm.is_main_process():
            return None
        embeddings = dict(itertools.chain.from_iterable(gathered))
        labels = torch.tensor([self._classes[image_id] for image_id in embeddings])
        votes = neighbor_votes(torch.stack(list(embeddings.values())), labels, self._num_neighbors)
        return {"knn": {"top1": float((votes.argmax(1) == labels).float().mean() * 100)}}


def neighbor_votes(embeddings: Tensor, labels: Tensor, num_neighbors: int) -> Tensor:
    """Sums exp(cosine / 0.07) of each image's nearest others by their class.

    Args:
        embeddings: (N, C) of length 1.
        labels: (N,) int64 from 0.
        num_neighbors: Number of other images that vote, at most N - 1.

    Returns:
        (N, classes) float.
    """
    similarities = embeddings @ embeddings.T
    similarities.fill_diagonal_(-torch.inf)
    nearest, index = similarities.topk(min(num_neighbors, len(labels) - 1), dim=1)
    votes = embeddings.new_zeros(len(labels), int(labels.max()) + 1)
    return votes.scatter_add_(1, labels[index], (nearest / TEMPERATURE).exp())
