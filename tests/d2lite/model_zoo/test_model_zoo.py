"""The model zoo's names exist, as tools import them, and say that its models are not here."""

import pytest

from detectron2 import model_zoo

NAME = "COCO-InstanceSegmentation/no_such_model.yaml"


@pytest.mark.parametrize("name", ["get", "get_checkpoint_url", "get_config", "get_config_file"])
def test_an_absent_model_is_a_runtime_error(name):
    from detectron2.model_zoo import model_zoo as module  # the place that tools import from

    for place in (model_zoo, module):
        with pytest.raises(RuntimeError, match="available"):
            getattr(place, name)(NAME)


@pytest.mark.d2lite_only
def test_the_line_says_what_to_do():
    with pytest.raises(RuntimeError) as info:
        model_zoo.get_config_file(NAME)
    line = str(info.value)
    assert NAME in line and "real Detectron2" in line and "solo_d2.model_zoo" in line and "\n" not in line
