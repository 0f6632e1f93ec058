from solo_d2.data.datasets.coco_categories import COCO_IDS, COCO_NAMES


def test_eighty_classes_with_the_known_anchors():
    assert len(COCO_NAMES) == len(COCO_IDS) == len(set(COCO_NAMES)) == 80
    assert all(name == name.strip() and name for name in COCO_NAMES)
    by_id = dict(zip(COCO_IDS, COCO_NAMES, strict=True))
    assert (by_id[1], by_id[13], by_id[44], by_id[90]) == ("person", "stop sign", "bottle", "toothbrush")
