"""Models that are written to a folder or pushed to a stand-in of the hub, and loaded from there."""

import copy
import json

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open

from detectron2.data import Metadata
from detectron2.modeling import build_model
from solo_d2 import Predictor
from solo_d2.config.loading import load_config
from solo_d2.utils.errors import InputError

from .model_zoo.hub_stand_in import TOKEN, running_hub

SMALL = (
    "INPUT.MIN_SIZE_TEST 64 MODEL.DEVICE cpu MODEL.SOLOV2.SCORE_THR 0.0 MODEL.SOLOV2.UPDATE_THR 0.0 "
    "MODEL.SOLOV2.NUM_CLASSES 5 MODEL.SEM_SEG_HEAD.NUM_CLASSES 2"
).split()
NAMES = ["cow", "ape | \n two", "ox", "yak", "emu"]


def random_model(folder, config):
    """Writes random weights of a config; returns its predictor, with own classes."""
    cfg = load_config(config, SMALL)
    torch.save({"model": build_model(cfg).state_dict()}, folder / "random.pth")
    predictor = Predictor(cfg, folder / "random.pth")
    numbering = {7 * index: index for index in range(5)}
    stuff = {"stuff_classes": ["things", "sky"], "stuff_dataset_id_to_contiguous_id": {1: 0, 9: 1}}
    predictor.metadata = Metadata(
        thing_classes=NAMES, thing_dataset_id_to_contiguous_id=numbering, **(stuff if "pan" in config else {})
    )
    return predictor


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return random_model(tmp_path_factory.mktemp("made"), "quick/solov2_tiny")


@pytest.fixture
def predictor(made):
    """A predictor whose settings and classes a test may change."""
    own = copy.copy(made)
    own.cfg = made.cfg.clone()
    return own


def assert_equal_results(one, other):
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    first, second = (predictor(picture, channels="RGB") for predictor in (one, other))
    assert len(first) > 0 and torch.equal(first.scores, second.scores)
    assert torch.equal(first.pred_masks, second.pred_masks)
    assert second.class_names == first.class_names


def test_a_folder(predictor, tmp_path):
    folder = tmp_path / "cows"
    predictor.save_pretrained(folder, license="apache-2.0", metrics={"segm/AP": 37.513, "segm/APs": None})
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.yaml", "model.safetensors"]
    loaded = Predictor.from_pretrained(folder, score_threshold=0.0, device="cpu")
    assert_equal_results(predictor, loaded)
    assert loaded.category_ids == predictor.category_ids == {0: 0, 1: 7, 2: 14, 3: 21, 4: 28}
    with safe_open(folder / "model.safetensors", "pt") as file:
        card = json.loads(file.metadata()["model_card"])
    assert [category["name"] for category in card["categories"]] == NAMES


def test_its_page(predictor, tmp_path):
    predictor.save_pretrained(tmp_path / "cows", license="mit", metrics={"segm/AP": 37.513, "segm/APs": None})
    _, head, page = (tmp_path / "cows" / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head)["license"] == "mit" and yaml.safe_load(head)["library_name"] == "solo_d2"
    assert "| segm/AP | 37.51 |\n" in page and "APs" not in page
    assert 'from_pretrained("cows")' in page and "cow, ape | \\n two, ox" in page
    predictor.save_pretrained(tmp_path / "cows")
    page = (tmp_path / "cows" / "README.md").read_text()
    assert "| license | not stated |" in page and "license:" not in page and "None are stated." in page


def test_settings_are_those_that_prediction_reads(predictor, tmp_path):
    predictor.cfg.OUTPUT_DIR = predictor.cfg.DATASETS.CUSTOM.TRAIN_JSON = "a/secret/place"
    predictor.save_pretrained(tmp_path / "cows")
    text = (tmp_path / "cows" / "config.yaml").read_text()
    settings = yaml.safe_load(text)
    assert {"INPUT", "MODEL"} <= settings.keys() <= {"INPUT", "MODEL", "TEST"}
    assert settings["INPUT"]["MIN_SIZE_TEST"] == 64 and "secret" not in text
    assert not {"WEIGHTS", "DEVICE"} & settings["MODEL"].keys()


def test_panoptic_models_keep_their_stuff(tmp_path):
    predictor = random_model(tmp_path, "quick/panoptic_solov2_two_images")
    predictor.save_pretrained(tmp_path / "saved")
    loaded = Predictor.from_pretrained(tmp_path / "saved", device="cpu")
    assert loaded.metadata.stuff_classes == ["things", "sky"]
    assert loaded.metadata.stuff_dataset_id_to_contiguous_id[9] == 1
    assert "## Stuff\n\nsky\n" in (tmp_path / "saved" / "README.md").read_text()


def test_what_cannot_be_saved(predictor, tmp_path):
    predictor.metadata = Metadata(thing_classes=["cow"])
    with pytest.raises(InputError, match=r"names 1 classes, MODEL.SOLOV2.NUM_CLASSES is 5: correct"):
        predictor.save_pretrained(tmp_path / "cows")
    predictor.cfg.MODEL.INFERENCE.FOLD_NORM = True
    with pytest.raises(InputError, match="load it without MODEL.INFERENCE.FOLD_NORM"):
        predictor.save_pretrained(tmp_path / "cows")
    predictor.cfg.MODEL.WEIGHTS = ""
    with pytest.raises(InputError, match="an exported file cannot be saved"):
        predictor.save_pretrained(tmp_path / "cows")
    assert not (tmp_path / "cows").exists()


def test_what_cannot_be_loaded(tmp_path):
    with pytest.raises(InputError, match=r"config.yaml does not exist: .* is no folder of save_pretrained"):
        Predictor.from_pretrained(tmp_path)
    with pytest.raises(InputError, match=r'load it with Predictor\("mmdet/solov2_R50_3x"\)'):
        Predictor.from_pretrained("mmdet/solov2_R50_3x")


def test_the_hub(predictor, tmp_path):
    with running_hub(tmp_path / "cache") as server:
        address = predictor.push_to_hub("user/cows", token=TOKEN, license="mit")
        assert address == f"{server.url}/user/cows"
        (files,) = server.commits["user/cows"]
        assert files.keys() == {"README.md", "config.yaml", "model.safetensors"}
        assert b'from_pretrained("user/cows")' in files["README.md"]
        predictor.push_to_hub("user/cows", token=TOKEN)
        loaded = Predictor.from_pretrained("user/cows", revision=f"{0:040}", device="cpu")
        assert_equal_results(predictor, loaded)
        assert "snapshots" in loaded.cfg.MODEL.WEIGHTS and f"{0:040}" in loaded.cfg.MODEL.WEIGHTS
        server.add("user/other", weights__bin=b"")
        with pytest.raises(InputError, match=r"user/other has no file config\.yaml in its revision main"):
            Predictor.from_pretrained("user/other")
