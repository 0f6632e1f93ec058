from detectron2.data import DatasetCatalog, MetadataCatalog


def test_coco_is_registered_with_its_metadata():
    for name in ("coco_2014_train", "coco_2017_train", "coco_2017_val", "coco_2017_test-dev"):
        assert name in DatasetCatalog.list()
    metadata = MetadataCatalog.get("coco_2017_val")
    assert metadata.json_file.endswith("coco/annotations/instances_val2017.json")
    assert metadata.image_root.endswith("coco/val2017")
    assert metadata.evaluator_type == "coco"
