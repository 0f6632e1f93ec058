"""Differences between what weights expect and what a config does."""

from dataclasses import replace

from solo_d2.checkpoint.preprocessing import CAFFE, TORCHVISION, Preprocessing


def test_equal_up_to_rounding():
    config = replace(TORCHVISION, mean=(123.68, 116.279, 103.53))
    assert TORCHVISION.differences(config) == []


def test_every_difference_names_key_and_value():
    found = TORCHVISION.differences(CAFFE)
    assert [line.partition(" ")[0] for line in found] == [
        "INPUT.FORMAT",
        "MODEL.PIXEL_MEAN",
        "MODEL.PIXEL_STD",
        "MODEL.RESNETS.STRIDE_IN_1X1",
    ]
    assert found[0] == "INPUT.FORMAT is BGR, these weights want RGB"
    assert "want [123.675, 116.28, 103.53]" in found[1]


def test_what_is_unknown_does_not_differ():
    assert Preprocessing().differences(CAFFE) == [] == CAFFE.differences(Preprocessing())
    assert CAFFE.differences(replace(CAFFE, mean=(1.0,)))


def test_size():
    light = replace(TORCHVISION, short_side=448, long_side=768)
    assert light.size_difference(light) == ""
    assert TORCHVISION.size_difference(light) == ""
    assert "448 and 768" in light.size_difference(replace(light, short_side=800, long_side=1333))


def test_storing():
    stored = replace(TORCHVISION, stride_in_1x1=None).as_dict()
    assert stored["channels"] == "RGB" and "stride_in_1x1" not in stored
    assert Preprocessing.from_dict(stored | {"of another version": 1}) == replace(
        TORCHVISION, stride_in_1x1=None
    )
