import math

import pytest
import torch
import torch.nn.functional as F

from detectron2.data import DatasetCatalog, MetadataCatalog
from solo_d2.evaluation.build import build_evaluator
from solo_d2.evaluation.nearest_neighbors import TEMPERATURE, neighbor_votes


def votes_by_loops(embeddings, labels, count):
    result = torch.zeros(len(labels), max(labels) + 1)
    for i, own in enumerate(embeddings):
        others = sorted(((float(own @ e), j) for j, e in enumerate(embeddings) if j != i), reverse=True)
        for cosine, j in others[:count]:
            result[i, labels[j]] += math.exp(cosine / TEMPERATURE)
    return result


@pytest.mark.parametrize("count", [1, 3, 50])
def test_votes_equal_loops(count):
    generator = torch.Generator().manual_seed(0)
    embeddings = F.normalize(torch.randn(12, 4, generator=generator), dim=1)
    labels = torch.randint(3, (12,), generator=generator)
    ours = neighbor_votes(embeddings, labels, count)
    torch.testing.assert_close(ours, votes_by_loops(embeddings, labels.tolist(), count), rtol=1e-4, atol=1e-4)


@pytest.fixture
def dataset():
    records = [{"image_id": i, "class_id": i % 2, "file_name": "x"} for i in range(8)]
    DatasetCatalog.register("two_classes", lambda: records)
    MetadataCatalog.get("two_classes").set(evaluator_type="class_folders")
    yield records
    DatasetCatalog.remove("two_classes")
    MetadataCatalog.remove("two_classes")


def test_separated_classes_are_found_and_mixed_ones_are_not(dataset):
    evaluator = build_evaluator("two_classes", "unused")
    for directions, expected in ((torch.eye(2), 100.0), (torch.eye(2).flip(0), 100.0), (None, 0.0)):
        evaluator.reset()
        for record in dataset:
            i = record["image_id"]
            # In the last case images come in pairs of different classes.
            vector = (
                directions[record["class_id"]]
                if directions is not None
                else F.one_hot(torch.tensor(i // 2), 4)
            )
            evaluator.process([{"image_id": i}], [{"embedding": vector.float()}])
        evaluator._num_neighbors = 1
        assert evaluator.evaluate() == {"knn": {"top1": expected}}
