"""SOLOv2's keys have the paper's choices."""

from solo_d2.config import get_cfg


def test_kernels_are_1x1_and_features_unified():
    node = get_cfg().MODEL.SOLOV2
    assert (node.KERNEL_SIZE, node.MASK_FEATURE, node.USE_DCN_IN_MASK) == (1, "unified", False)


def test_levels_have_one_entry_each():
    for node in (get_cfg().MODEL.SOLO, get_cfg().MODEL.SOLOV2):
        lists = (node.INSTANCE_IN_FEATURES, node.FPN_INSTANCE_STRIDES, node.FPN_SCALE_RANGES, node.NUM_GRIDS)
        assert {len(values) for values in lists} == {5}
