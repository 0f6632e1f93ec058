"""Keys of the training loop."""

import pytest

from solo_d2.config import get_cfg


def test_defaults_change_nothing_in_detectron2s_training():
    cfg = get_cfg()
    assert cfg.SOLVER.OPTIMIZER == "SGD"
    assert not cfg.SOLVER.AMP.ENABLED and not cfg.SOLVER.EMA.ENABLED


def test_values_of_another_type_are_refused():
    with pytest.raises(ValueError):
        get_cfg().merge_from_list(["SOLVER.EMA.DECAY", "much"])
