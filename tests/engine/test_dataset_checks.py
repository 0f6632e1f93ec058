import pytest

from detectron2.data import DatasetCatalog, MetadataCatalog
from solo_d2.engine.dataset_checks import (
    check_datasets,
    class_agnostic_metadata,
    class_count_key,
    meta_architecture,
    method_node,
)
from solo_d2.utils.errors import InputError


@pytest.fixture
def solov2_cfg(tiny_cfg):
    tiny_cfg.MODEL.META_ARCHITECTURE = "SOLOv2"
    tiny_cfg.MODEL.SOLOV2.NUM_CLASSES = 2
    return tiny_cfg


def test_class_count_belongs_to_the_method(solov2_cfg):
    assert class_count_key(solov2_cfg) == "MODEL.SOLOV2.NUM_CLASSES"
    assert method_node(solov2_cfg).NUM_CLASSES == 2
    solov2_cfg.MODEL.META_ARCHITECTURE = "Elsewhere"
    assert class_count_key(solov2_cfg) == "" and not method_node(solov2_cfg)


def test_fitting_datasets_pass(solov2_cfg):
    check_datasets(solov2_cfg, training=True)
    solov2_cfg.DATASETS.TRAIN = ()
    check_datasets(solov2_cfg, training=False)


def test_wrong_class_count(solov2_cfg):
    solov2_cfg.MODEL.SOLOV2.NUM_CLASSES = 80
    with pytest.raises(InputError, match="is 80, but dataset tiny_train has 2 classes"):
        check_datasets(solov2_cfg, training=True)


def test_class_agnostic_evaluation_takes_any_classes(solov2_cfg):
    solov2_cfg.MODEL.SOLOV2.NUM_CLASSES = 1
    solov2_cfg.TEST.CLASS_AGNOSTIC = True
    check_datasets(solov2_cfg, training=False)
    with pytest.raises(InputError, match="is 1, but dataset tiny_train has 2 classes"):
        check_datasets(solov2_cfg, training=True)
    metadata = class_agnostic_metadata(solov2_cfg)
    assert metadata.thing_classes == ["object"] and metadata.thing_dataset_id_to_contiguous_id == {1: 0}


def test_unknown_dataset(solov2_cfg):
    solov2_cfg.DATASETS.TRAIN = ("tiny_trian",)
    with pytest.raises(InputError, match="did you mean tiny_train?"):
        check_datasets(solov2_cfg, training=True)


def test_nothing_to_do(solov2_cfg):
    solov2_cfg.DATASETS.TRAIN = ()
    with pytest.raises(InputError, match="--train-json"):
        check_datasets(solov2_cfg, training=True)
    solov2_cfg.DATASETS.TEST = ()
    with pytest.raises(InputError, match="--val-json"):
        check_datasets(solov2_cfg, training=False)


def test_registered_dataset_whose_files_are_missing(solov2_cfg, tmp_path):
    DatasetCatalog.register("absent", list)
    MetadataCatalog.get("absent").set(json_file=str(tmp_path / "absent.json"))
    solov2_cfg.DATASETS.TRAIN = ("absent",)
    try:
        with pytest.raises(InputError, match="absent.json does not exist"):
            check_datasets(solov2_cfg, training=True)
    finally:
        DatasetCatalog.remove("absent")
        MetadataCatalog.remove("absent")


def test_missing_scenes_name_their_generator(solov2_cfg, tmp_path, monkeypatch):
    from solo_d2.data.datasets import register_all

    known = [name for name in ("scenes_train", "scenes_val") if name in DatasetCatalog.list()]
    for name in known:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    register_all(tmp_path)
    solov2_cfg.DATASETS.TRAIN = ("scenes_train",)
    try:
        with pytest.raises(InputError, match="solo-d2 data scenes"):
            check_datasets(solov2_cfg, training=True)
    finally:
        for name in ("scenes_train", "scenes_val"):
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


@pytest.fixture
def panoptic_cfg(tiny_cfg, panoptic_set):
    from solo_d2.data.datasets import register_panoptic_format

    tiny_cfg.MODEL.META_ARCHITECTURE = "PanopticSOLOv2"
    tiny_cfg.MODEL.SOLOV2.NUM_CLASSES = 2
    tiny_cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 3
    register_panoptic_format("two", panoptic_set.json, panoptic_set.panoptic, panoptic_set.images)
    tiny_cfg.DATASETS.TRAIN = tiny_cfg.DATASETS.TEST = ("two",)
    yield tiny_cfg
    DatasetCatalog.remove("two")
    MetadataCatalog.remove("two")


def test_panoptic_models_have_their_instance_models_keys(panoptic_cfg):
    assert meta_architecture(panoptic_cfg).is_panoptic
    assert method_node(panoptic_cfg) is panoptic_cfg.MODEL.SOLOV2
    assert class_count_key(panoptic_cfg) == "MODEL.SOLOV2.NUM_CLASSES"
    check_datasets(panoptic_cfg, training=True)


def test_wrong_stuff_count(panoptic_cfg):
    panoptic_cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 54
    with pytest.raises(InputError, match="is 54, but dataset two has 2 stuff classes.*NUM_CLASSES 3"):
        check_datasets(panoptic_cfg, training=True)


def test_joint_numbering_is_for_training_only(panoptic_cfg):
    metadata = MetadataCatalog.get("two")
    joint = {
        "thing_classes": ["cat", "dog", "sky", "sea"],
        "stuff_classes": ["cat", "dog", "sky", "sea"],
        "thing_dataset_id_to_contiguous_id": {3: 0, 5: 1},
        "stuff_dataset_id_to_contiguous_id": {9: 2, 11: 3},
    }
    DatasetCatalog.register("joint", list)
    kept = ("panoptic_json", "panoptic_root", "image_root", "evaluator_type")
    MetadataCatalog.get("joint").set(**joint, **{key: metadata.get(key) for key in kept})
    try:
        panoptic_cfg.DATASETS.TRAIN = ("joint",)
        check_datasets(panoptic_cfg, training=True)
        panoptic_cfg.DATASETS.TEST = ("joint",)
        with pytest.raises(InputError, match="numbers things and stuff together.*joint_separated"):
            check_datasets(panoptic_cfg, training=True)
    finally:
        DatasetCatalog.remove("joint")
        MetadataCatalog.remove("joint")


def test_instance_files_of_panoptic_data_are_for_evaluation(panoptic_cfg, tmp_path):
    MetadataCatalog.get("two").json_file = str(tmp_path / "absent.json")
    panoptic_cfg.DATASETS.TEST = ()
    check_datasets(panoptic_cfg, training=True)
    panoptic_cfg.DATASETS.TEST = ("two",)
    with pytest.raises(InputError, match="absent.json does not exist"):
        check_datasets(panoptic_cfg, training=True)
