"""A model's classes and origin travel with its weights."""

import json

import pytest
import torch
from fvcore.common.checkpoint import Checkpointer as FvcoreCheckpointer

from detectron2.checkpoint import DetectionCheckpointer
from solo_d2.checkpoint import (
    Category,
    Checkpointer,
    ModelCard,
    read_native,
    read_weight_file,
    write_weight_file,
)
from solo_d2.checkpoint.model_card import CARD_KEY
from solo_d2.utils.errors import InputError

CARD = ModelCard(
    categories=(Category(2**70, "cat"), Category("d", "Hund 🐕"), Category(-3, "sky", 0)),
    architecture="PanopticSOLOv2",
    score_thresholds={"MODEL.SOLOV2.SCORE_THR": 0.1},
    version="1.2",
)


def test_what_it_tells():
    assert CARD.thing_classes == ["cat", "Hund 🐕"] and CARD.stuff_classes == ["sky"]
    assert CARD.summary() == "PanopticSOLOv2 of solo_d2 1.2 with 2 classes and 1 of stuff"
    assert ModelCard().summary() == ""


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_it_is_plain_and_survives_every_file(tmp_path, ending):
    path = str(tmp_path / f"m.{ending}")
    write_weight_file(path, {"weight": torch.ones(1, 2)}, **{CARD_KEY: CARD.as_dict()})
    assert ModelCard.stored_in(read_weight_file(path)) == CARD
    assert json.loads(json.dumps(CARD.as_dict())) == CARD.as_dict()


def _changed(**changes):
    return {CARD_KEY: CARD.as_dict() | changes}


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {CARD_KEY: "a text of another project"},
        {CARD_KEY: {}},
        _changed(categories="abc"),
        _changed(categories=[{"id": 1, "name": "a"}]),
        _changed(categories=[{"id": 1.5, "name": "a", "isthing": 1}]),
        _changed(categories=[{"id": 1, "name": ["a"], "isthing": 1}]),
        _changed(categories=[{"id": 1, "name": "a", "isthing": 1}] * 2),
        _changed(categories=[{"id": 1, "name": "a", "isthing": [1]}]),
    ],
)
def test_unsound_cards_tell_nothing(stored):
    assert ModelCard.stored_in(stored).categories == ()


def test_other_unsound_fields_are_left_out():
    card = ModelCard.stored_in(
        _changed(architecture=3, score_thresholds={"a": "b", 1: 2, "c": 0.5}, version=[])
    )
    assert card == ModelCard(CARD.categories, score_thresholds={"c": 0.5})


def test_a_checkpoint_has_it_and_detectron2_reads_it(tmp_path, caplog):
    saved = torch.nn.Linear(2, 1)
    Checkpointer(saved, str(tmp_path), card=CARD).save("m", iteration=3)
    path = str(tmp_path / "m.pth")
    assert torch.load(path, weights_only=True)[CARD_KEY] == CARD.as_dict()
    assert read_native(path).card == CARD
    for kind in (Checkpointer, DetectionCheckpointer, FvcoreCheckpointer):
        model = torch.nn.Linear(2, 1)
        rest = kind(model).load(path)
        assert torch.equal(model.weight, saved.weight) and rest["iteration"] == 3
    caplog.clear()
    with caplog.at_level("INFO"):
        Checkpointer(torch.nn.Linear(2, 1)).load(path)
    assert "PanopticSOLOv2 of solo_d2 1.2 with 2 classes" in caplog.text


def test_resuming_needs_the_same_classes(tmp_path):
    Checkpointer(torch.nn.Linear(2, 1), str(tmp_path), card=CARD).save("model_0000001")
    others = {
        "the training data lacks": CARD.categories[:1],
        "class 0 is 'cat' in model_0000001.pth": (CARD.categories[1], CARD.categories[0]),
        "the training data has 'sea'": (*CARD.categories, Category(9, "sea", 0)),
    }
    for line, categories in others.items():
        resumed = Checkpointer(torch.nn.Linear(2, 1), str(tmp_path), card=ModelCard(categories))
        with pytest.raises(InputError, match=f"--resume: .*model_0000001.pth was trained on other.*{line}"):
            resumed.resume_or_load("", resume=True)
    renumbered = tuple(Category(n, c.name, c.isthing) for n, c in enumerate(CARD.categories))
    for card in (None, ModelCard(), ModelCard(renumbered)):
        Checkpointer(torch.nn.Linear(2, 1), str(tmp_path), card=card).resume_or_load("", resume=True)
