"""Keys for own data."""

import pytest

from solo_d2.config import get_cfg
from solo_d2.data.augmentations.copy_paste import CopyPaste


def test_own_data_is_off_by_default():
    assert set(get_cfg().DATASETS.CUSTOM.values()) == {""}


def test_mistyped_key_is_refused():
    with pytest.raises((KeyError, AssertionError)):
        get_cfg().merge_from_list(["DATASETS.CUSTOM.TRAIN_JSN", "x.json"])


def test_augmentations_are_off_by_default_and_agree_with_their_code():
    node = get_cfg().INPUT
    assert not node.COPY_PASTE.ENABLED and not node.STRONG_COLOR.ENABLED
    assert CopyPaste() == CopyPaste(prob=node.COPY_PASTE.PROB, max_covered=node.COPY_PASTE.MAX_COVERED)
