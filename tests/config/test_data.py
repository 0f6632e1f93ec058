"""Keys for own data."""

import pytest

from solo_d2.config import get_cfg


def test_own_data_is_off_by_default():
    paths = {key: value for key, value in get_cfg().DATASETS.CUSTOM.items() if key != "MAX_SKIPPED"}
    assert set(paths.values()) == {""}


def test_mistyped_key_is_refused():
    with pytest.raises((KeyError, AssertionError)):
        get_cfg().merge_from_list(["DATASETS.CUSTOM.TRAIN_JSN", "x.json"])


def test_augmentations_are_off_by_default():
    node = get_cfg().INPUT
    assert not node.COPY_PASTE.ENABLED and not node.STRONG_COLOR.ENABLED
