"""Cards of training data, and the metadata that users of a weight file get from them."""

import pytest
import torch

import solo_d2
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from solo_d2.checkpoint import Category, ModelCard
from solo_d2.data.datasets import register_all
from solo_d2.data.mappers.panoptic import panoptic_labels
from solo_d2.engine.model_card import card_metadata, set_class_counts, stored_card, training_card
from solo_d2.utils.errors import InputError

from .conftest import tiny_config

NAME = "set_of_a_card"


@pytest.fixture
def card_of():
    """``card_of(architecture, **metadata)`` is the card of a model that trains on such data."""

    def make(architecture, **metadata):
        MetadataCatalog.get(NAME).set(**metadata)
        return training_card(tiny_config(MODEL__META_ARCHITECTURE=architecture, DATASETS__TRAIN=(NAME,)))

    yield make
    if NAME in MetadataCatalog:
        MetadataCatalog.remove(NAME)


def test_instances(card_of):
    numbering = {40: 1, 7: 0}
    card = card_of("SOLOv2", thing_classes=["a", "b"], thing_dataset_id_to_contiguous_id=numbering)
    assert card.categories == (Category(7, "a"), Category(40, "b"))
    assert (card.architecture, card.version) == ("SOLOv2", solo_d2.__version__)
    assert card.score_thresholds == {"MODEL.SOLOV2.SCORE_THR": 0.1, "MODEL.SOLOV2.UPDATE_THR": 0.05}
    metadata = card_metadata(card).as_dict()
    assert metadata["thing_classes"] == ["a", "b"] and "stuff_classes" not in metadata
    assert metadata["thing_dataset_id_to_contiguous_id"] == {7: 0, 40: 1}


def test_renumbered_categories_have_the_ids_of_their_file(card_of):
    card = card_of(
        "SOLOv2",
        thing_classes=["a", "b"],
        thing_dataset_id_to_contiguous_id={1: 0, 2: 1},
        original_ids={"category_id": {1: "x", 2: 2**64}},
    )
    assert [category.id for category in card.categories] == ["x", 2**64]


@pytest.mark.parametrize("name", ["coco_2017_train_panoptic", "coco_2017_train_panoptic_separated"])
@pytest.mark.parametrize("architecture", ["PanopticSOLOv2", "SOLOv2"])
def test_panoptic_data_in_both_numberings(name, architecture):
    register_all()
    card = training_card(tiny_config(MODEL__META_ARCHITECTURE=architecture, DATASETS__TRAIN=(name,)))
    assert len(card.thing_classes) == 80 and card.thing_classes[79] == "toothbrush"
    assert [c.id for c in card.categories[:13]] == [*range(1, 12), 13, 14]
    panoptic = architecture == "PanopticSOLOv2"
    assert len(card.stuff_classes) == (53 if panoptic else 0)
    assert ("MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH" in card.score_thresholds) == panoptic
    metadata = card_metadata(card)
    things, stuff = panoptic_labels(metadata)
    assert all(one == other for one, other in (things | stuff).items())
    if panoptic:
        assert metadata.stuff_classes[:2] == ["things", "banner"]
        assert metadata.stuff_dataset_id_to_contiguous_id[92] == 1


def test_a_model_without_classes_has_none(card_of):
    card = card_of("DenseCL", thing_classes=["a"], thing_dataset_id_to_contiguous_id={1: 0})
    assert card.categories == () and card.architecture == "DenseCL"
    assert training_card(tiny_config(DATASETS__TRAIN=())).categories == ()
    assert training_card(tiny_config(DATASETS__TRAIN=("unknown_set",))).categories == ()
    assert "unknown_set" not in DatasetCatalog
    MetadataCatalog.remove("unknown_set")


def test_files_without_a_card(tmp_path):
    path = tmp_path / "m.pth"
    torch.save({"model": {"w": torch.ones(1)}}, path)
    for weights in ("", str(path), f"{path}?matching_heuristics=True", "gone.pkl"):
        assert stored_card(weights) == ModelCard()
    with pytest.raises(InputError, match="gone.pth does not exist"):
        stored_card("gone.pth")


def test_counts():
    cfg = tiny_config(MODEL__META_ARCHITECTURE="PanopticSOLOv2")
    classes = Metadata(thing_classes=["a", "b"], stuff_classes=["things", "c", "d"])
    set_class_counts(cfg, classes, "m.pth", ["MODEL.DEVICE"])
    assert (cfg.MODEL.SOLOV2.NUM_CLASSES, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES) == (2, 3)
    set_class_counts(cfg, classes, "m.pth", ["MODEL.SOLOV2.NUM_CLASSES"])
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 54
    with pytest.raises(InputError, match="NUM_CLASSES 54 on the command line contradicts m.pth, which has 3"):
        set_class_counts(cfg, classes, "m.pth", ["MODEL.SEM_SEG_HEAD.NUM_CLASSES"])
