"""Differences between what weights expect and what a config does."""

from dataclasses import replace

import torch

from solo_d2.checkpoint import Preprocessing
from solo_d2.checkpoint.preprocessing import CAFFE, TORCHVISION


def test_equal_up_to_rounding():
    config = replace(TORCHVISION, mean=(123.68, 116.279, 103.53))
    assert TORCHVISION.differences(config) == []


def test_every_difference_names_key_and_value():
    found = TORCHVISION.differences(CAFFE, {"channels": "INPUT.FORMAT", "mean": "MODEL.PIXEL_MEAN"})
    named = [line.partition(" ")[0] for line in found]
    assert named == ["INPUT.FORMAT", "MODEL.PIXEL_MEAN", "std", "stride_in_1x1"]
    assert found[0] == "INPUT.FORMAT is BGR, these weights want RGB"
    assert "want [123.675, 116.28, 103.53]" in found[1]


def test_what_is_unknown_does_not_differ():
    assert Preprocessing().differences(CAFFE) == [] == CAFFE.differences(Preprocessing())
    assert CAFFE.differences(replace(CAFFE, mean=(1.0,)))


def test_size():
    light = replace(TORCHVISION, short_side=448, long_side=768)
    assert light.size_difference(light) == ""
    assert TORCHVISION.size_difference(light) == ""
    larger = replace(light, short_side=800, long_side=1333)
    keys = {"short_side": "INPUT.MIN_SIZE_TEST", "long_side": "INPUT.MAX_SIZE_TEST"}
    assert light.size_difference(larger, keys) == (
        "INPUT.MIN_SIZE_TEST and INPUT.MAX_SIZE_TEST are 800 and 1333; the known results of these weights "
        "were made with 448 and 768"
    )


def test_storing():
    stored = replace(TORCHVISION, stride_in_1x1=None).as_dict()
    assert stored["channels"] == "RGB" and "stride_in_1x1" not in stored
    read = Preprocessing.from_dict(stored | {"of another version": 1})
    assert read == replace(TORCHVISION, stride_in_1x1=None)


def test_a_name_of_earlier_versions_is_read():
    assert Preprocessing.from_dict({"usual_for_layout": True}) == Preprocessing(usual_for_format=True)


def pixels(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(3, 1, 1)


def test_a_file_states_its_own():
    stated = {"pixel_mean": pixels(123.675, 116.28, 103.53), "pixel_std": pixels(58.395, 57.12, 57.375)}
    assert replace(CAFFE, short_side=800).as_stated_by(stated) == replace(
        TORCHVISION, stride_in_1x1=True, short_side=800
    )
    swapped = {"pixel_mean": pixels(103.53, 116.28, 123.675), "pixel_std": pixels(1.0, 1.0, 1.0)}
    assert TORCHVISION.as_stated_by(swapped) == replace(CAFFE, stride_in_1x1=False)
    grey = CAFFE.as_stated_by({"pixel_mean": pixels(0.0, 0.0, 0.0)})
    assert (grey.channels, grey.mean) == ("BGR", (0.0, 0.0, 0.0)), "such a mean says nothing of the order"


def test_what_only_names_say_is_called_usual():
    guessed = TORCHVISION.as_stated_by({"ins_head.cate_pred.bias": torch.zeros(80)})
    assert guessed == replace(TORCHVISION, usual_for_format=True)
    assert guessed.differences(CAFFE)[0] == "channels is BGR, usual for this format is RGB"
    assert Preprocessing.from_dict(guessed.as_dict()) == guessed
    assert "usual_for_format" not in TORCHVISION.as_dict()
