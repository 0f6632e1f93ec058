import dataclasses

import pytest

from solo_d2.scenes import SceneConfig
from solo_d2.scenes.config import MAX_OBJECTS
from solo_d2.utils.errors import InputError


def test_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SceneConfig().contrast = 1


@pytest.mark.parametrize("objects", [(3, 2), (-1, 2), (0, MAX_OBJECTS + 1)])
def test_impossible_object_counts_are_refused(objects):
    with pytest.raises(InputError, match="objects"):
        SceneConfig(objects=objects)
