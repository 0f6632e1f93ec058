from detectron2.data import MetadataCatalog


def test_coco_classes():
    metadata = MetadataCatalog.get("coco_2017_train")
    names, ids = metadata.thing_classes, metadata.thing_dataset_id_to_contiguous_id
    assert len(set(names)) == len(ids) == len(metadata.thing_colors) == 80
    assert sorted(ids.values()) == list(range(80)) and max(ids) == 90
    by_id = {dataset_id: names[index] for dataset_id, index in ids.items()}
    expected = {
        1: "person",
        13: "stop sign",
        27: "backpack",
        44: "bottle",
        67: "dining table",
        90: "toothbrush",
    }
    assert {dataset_id: by_id[dataset_id] for dataset_id in expected} == expected
