"""Small models whose random predictions pass their thresholds."""

from pathlib import Path

import pytest
import torch

import solo_d2  # noqa: F401  (registers the models)
from detectron2.modeling import build_model
from solo_d2.config import get_cfg

QUICK = Path(__file__).resolve().parents[2] / "configs" / "quick"


def small_model(name: str, *opts: str) -> tuple:
    """Returns the config of this name below ``configs/quick`` and a model with random weights.

    Categories are rare enough, and masks full enough, for some but not all candidates to become results.
    """
    torch.manual_seed(0)
    cfg = get_cfg()
    cfg.merge_from_file(str(QUICK / f"{name}.yaml"))
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", *opts])
    model = build_model(cfg).eval()
    with torch.no_grad():
        for key, parameter in model.head.named_parameters():
            if "predictor" in key or "controller" in key:
                is_weight = key.endswith("weight")
                parameter.normal_(std=2 * parameter[0].numel() ** -0.5 if is_weight else 0.1)
            if key.endswith(("category_predictor.bias", "class_predictor.bias")):
                parameter.fill_(-4.0)
    return cfg, model


def assert_same_instances(found, wanted, pixels: int = 2) -> None:
    """Fails unless both hold the same instances: scores to 1e-5, ``pixels`` different ones per mask.

    Scores that differ by rounding may come in another order.
    """
    assert len(found) == len(wanted)
    assert set(found.get_fields()) == set(wanted.get_fields())
    torch.testing.assert_close(found.scores, wanted.scores, atol=1e-5, rtol=0)
    left = set(range(len(wanted)))
    for i in range(len(found)):
        near = [j for j in left if abs(found.scores[i] - wanted.scores[j]) < 2e-5]
        near = [j for j in near if found.pred_classes[i] == wanted.pred_classes[j]]
        different = {j: int((found.pred_masks[i] != wanted.pred_masks[j]).sum()) for j in near}
        best = min(different, key=different.__getitem__)
        assert different[best] <= pixels
        left.remove(best)
        for name in ("pred_boxes", "pred_embeddings"):
            if wanted.has(name):
                mine, other = (getattr(one.get(name), "tensor", one.get(name)) for one in (found, wanted))
                atol = 1e-3 if different[best] == 0 else 2
                torch.testing.assert_close(mine[i], other[best], atol=atol, rtol=1e-4)


def assert_same_panoptic(found: dict, wanted: dict) -> None:
    """Fails unless both outputs lack, or both have, the same semantic map and, but for 4 pixels, segments."""
    assert set(found) == set(wanted)
    if "panoptic_seg" in wanted:
        torch.testing.assert_close(found["sem_seg"], wanted["sem_seg"], atol=1e-4, rtol=0)
        (ids, segments), (other, others) = found["panoptic_seg"], wanted["panoptic_seg"]
        assert ids.dtype == other.dtype and (ids != other).sum() <= 4
        exact = ("id", "isthing", "category_id")
        mine, theirs = ([[one[key] for key in exact] for one in given] for given in (segments, others))
        assert mine == theirs


@pytest.fixture(scope="session")
def same_panoptic():
    """Returns :func:`assert_same_panoptic`."""
    return assert_same_panoptic


@pytest.fixture(scope="session")
def same_instances():
    """Returns :func:`assert_same_instances`."""
    return assert_same_instances


@pytest.fixture(scope="session")
def build():
    """Returns :func:`small_model`."""
    return small_model
