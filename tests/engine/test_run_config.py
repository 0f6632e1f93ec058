import json
from pathlib import Path

import pytest
import torch

from detectron2.data import DatasetCatalog, MetadataCatalog
from solo_d2.checkpoint import Category, ModelCard
from solo_d2.config import get_cfg
from solo_d2.config.loading import check_key
from solo_d2.engine.run_config import build_cfg, build_parser, read_cfg
from solo_d2.evaluation.class_agnostic import ClassAgnosticEvaluator
from solo_d2.utils.errors import InputError

PANOPTIC_CONFIG = Path(__file__).resolve().parents[2] / "configs" / "quick" / "panoptic_solov2_tiny.yaml"


def parse(*arguments):
    return build_parser().parse_args([str(argument) for argument in arguments])


def own_data(tiny_files, tmp_path, *options):
    return parse(
        "--train-json", tiny_files.train.json, "--train-images", tiny_files.train.images,
        "--val-json", tiny_files.val.json, "--val-images", tiny_files.val.images,
        "MODEL.META_ARCHITECTURE", "SOLOv2", "OUTPUT_DIR", tmp_path / "out", *options,
    )  # fmt: skip


def test_detectron2_flags_are_there():
    args = parse("--resume", "--num-gpus", 3, "SOLVER.BASE_LR", "0.5")
    assert (args.config_file, args.resume, args.eval_only) == ("", True, False)
    assert (args.num_gpus, args.num_machines, args.machine_rank) == (3, 1, 0)
    assert args.opts == ["SOLVER.BASE_LR", "0.5"] and args.dist_url == "auto"


def test_own_data_sets_datasets_and_class_count(tiny_files, tmp_path):
    cfg = build_cfg(own_data(tiny_files, tmp_path))
    assert cfg.DATASETS.TRAIN == ("custom_train",) and cfg.DATASETS.TEST == ("custom_val",)
    assert cfg.MODEL.SOLOV2.NUM_CLASSES == 2
    assert cfg.is_frozen()
    again = own_data(tiny_files, tmp_path, "MODEL.SOLOV2.NUM_CLASSES", 2)
    assert build_cfg(again).MODEL.SOLOV2.NUM_CLASSES == 2


def test_own_data_contradicting_class_count(tiny_files, tmp_path):
    args = own_data(tiny_files, tmp_path, "MODEL.SOLOV2.NUM_CLASSES", 80)
    with pytest.raises(InputError, match="NUM_CLASSES 80 .* has 2 classes"):
        build_cfg(args)


def test_train_and_val_classes_must_agree(tiny_files, tmp_path):
    with open(tiny_files.val.json) as f:
        content = json.load(f)
    content["categories"][1]["name"] = "other"
    changed = tmp_path / "val.json"
    changed.write_text(json.dumps(content))
    args = own_data(tiny_files, tmp_path)
    args.val_json = str(changed)
    with pytest.raises(
        InputError, match="the model has 'unused', which val.json lacks; val.json has 'other'"
    ):
        build_cfg(args)


def test_class_agnostic_evaluation_leaves_the_class_count_alone(tiny_files, tmp_path):
    args = own_data(tiny_files, tmp_path, "TEST.CLASS_AGNOSTIC", True, "MODEL.SOLOV2.NUM_CLASSES", 1)
    args.train_json = args.train_images = ""
    args.eval_only = True
    args.resume = True
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "last_checkpoint").write_text("model_final.pth")
    assert build_cfg(args).MODEL.SOLOV2.NUM_CLASSES == 1


def test_images_without_json(tiny_files):
    with pytest.raises(InputError, match="--train-json and --train-images"):
        build_cfg(parse("--train-images", tiny_files.train.images))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["SOLVER.BASE_LRR", "1"], "no config key SOLVER.BASE_LRR: did you mean SOLVER.BASE_LR?"),
        (["MODEL.SOLOV2.NUM_GRID", "1"], "did you mean MODEL.SOLOV2.NUM_GRIDS?"),
        (["SOLVER", "1"], "SOLVER is a group"),
        (["SOLVER.BASE_LR"], "'SOLVER.BASE_LR' has no value"),
        (["SOLVER.BASE_LR", "0.1", "--resume"], "--resume must stand before"),
        (["SOLVER.MAX_ITER", "many"], "SOLVER.MAX_ITER many: "),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError) as caught:
        read_cfg(parse(*options))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_every_key_is_known():
    check_key(get_cfg(), "SOLVER.EMA.DECAY", "test")
    check_key(get_cfg(), "OUTPUT_DIR", "test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SOLVER: {BASE_LRR: 1}", "no config key SOLVER.BASE_LRR: did you mean SOLVER.BASE_LR?"),
        ("SOLVER: {MAX_ITER: many}", "MAX_ITER"),
        ("SOLVER: {BASE_LR: [1", "not valid YAML"),
        ("_BASE_: nowhere.yaml", "nowhere.yaml does not exist"),
    ],
)
def test_wrong_config_file(tmp_path, text, message):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_cfg(parse("--config-file", path))
    assert message in str(caught.value) and str(path) in str(caught.value)


def test_missing_config_file():
    with pytest.raises(InputError, match="nowhere.yaml does not exist"):
        read_cfg(parse("--config-file", "nowhere.yaml"))


def test_missing_weights(tiny_files, tmp_path):
    with pytest.raises(InputError, match="nowhere.pth does not exist"):
        build_cfg(own_data(tiny_files, tmp_path, "MODEL.WEIGHTS", "nowhere.pth"))
    args = own_data(tiny_files, tmp_path)
    args.eval_only = True
    with pytest.raises(InputError, match="--eval-only needs MODEL.WEIGHTS"):
        build_cfg(args)


def own_panoptic(files, tmp_path, *options, what="panoptic"):
    flags = [
        "--config-file", PANOPTIC_CONFIG, "--train-json", files.json, "--train-images", files.images,
        "--val-json", files.json, "--val-images", files.images,
    ]  # fmt: skip
    if what == "panoptic":
        flags += ["--train-panoptic", files.panoptic, "--val-panoptic", files.panoptic]
    return parse(*flags, "OUTPUT_DIR", tmp_path / "out", *options)


def test_own_panoptic_data_sets_both_class_counts(panoptic_set, tmp_path):
    cfg = build_cfg(own_panoptic(panoptic_set, tmp_path))
    assert cfg.DATASETS.TRAIN == ("custom_train",) and cfg.DATASETS.TEST == ("custom_val",)
    assert cfg.MODEL.SOLOV2.NUM_CLASSES == 2 and cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES == 3
    with pytest.raises(InputError, match="SEM_SEG_HEAD.NUM_CLASSES 54 on the command line .* 3 classes"):
        build_cfg(own_panoptic(panoptic_set, tmp_path, "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 54))


@pytest.mark.parametrize("training", [True, False])
def test_panoptic_val_classes_are_matched_by_name(panoptic_set, tmp_path, training):
    content = json.loads(json.dumps(panoptic_set.content))
    renumbered = {3: 5, 5: 3, 9: 11, 11: 9}
    for category in content["categories"]:
        category["id"] = renumbered[category["id"]]
    for annotation in content["annotations"]:
        for segment in annotation["segments_info"]:
            segment["category_id"] = renumbered[segment["category_id"]]
    changed = tmp_path / "val.json"
    changed.write_text(json.dumps(content))
    args = own_panoptic(panoptic_set, tmp_path, "MODEL.WEIGHTS", changed)
    args.val_json, args.eval_only = str(changed), not training
    build_cfg(args)
    classes = [
        [s["category_id"] for record in DatasetCatalog.get(name) for s in record["segments_info"]]
        for name in ("custom_train", "custom_val")
    ]
    assert classes[0] == classes[1]
    for place, line in (
        (2, "different classes: the model has 'sky'"),
        (0, "different classes: the model has 'cat'"),
    ):
        content["categories"][place]["name"] = "sand"
        changed.write_text(json.dumps(content))
        with pytest.raises(InputError, match=line):
            build_cfg(args)


def test_panoptic_folder_without_json(panoptic_set):
    with pytest.raises(InputError, match="both --val-json and --val-images"):
        build_cfg(parse("--val-panoptic", panoptic_set.panoptic))


def test_panoptic_model_on_instance_data(tiny_files, tmp_path):
    args = own_data(tiny_files, tmp_path, "MODEL.META_ARCHITECTURE", "PanopticSOLOv2")
    with pytest.raises(InputError, match="custom_train has instances only.*--train-panoptic"):
        build_cfg(args)


def test_instance_model_on_panoptic_data(panoptic_set, tmp_path):
    args = own_panoptic(panoptic_set, tmp_path, "MODEL.META_ARCHITECTURE", "SOLOv2")
    with pytest.raises(InputError, match="custom_val is for panoptic results, which SOLOv2 does not give"):
        build_cfg(args)


def test_boxes_alone_are_enough_to_evaluate_boxes_but_not_to_train(tiny_files, tmp_path):
    for split in (tiny_files.train, tiny_files.val):
        content = json.loads(Path(split.json).read_text())
        for annotation in content["annotations"]:
            del annotation["segmentation"]
        Path(split.json).with_name("boxes.json").write_text(json.dumps(content))
    boxes = Path(tiny_files.val.json).with_name("boxes.json")
    args = own_data(tiny_files, tmp_path, "TEST.BOX_ONLY", True, "TEST.CLASS_AGNOSTIC", True)
    args.val_json = str(boxes)
    cfg = build_cfg(args)
    records = DatasetCatalog.get(cfg.DATASETS.TEST[0])
    annotations = [annotation for record in records for annotation in record["annotations"]]
    assert annotations and not any("segmentation" in annotation for annotation in annotations)
    ClassAgnosticEvaluator(cfg.DATASETS.TEST[0], ["bbox"])
    args.train_json = str(Path(tiny_files.train.json).with_name("boxes.json"))
    with pytest.raises(InputError, match="no segmentation"):
        build_cfg(args)


def _val_of_coco(tiny_files, tmp_path):
    content = json.loads(Path(tiny_files.val.json).read_text())
    content["categories"] = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    changed = tmp_path / "val.json"
    changed.write_text(json.dumps(content))
    return changed


def test_published_weights_have_the_classes_of_coco(tiny_files, tmp_path, monkeypatch):
    monkeypatch.setattr("solo_d2.engine.run_config.stored_card", lambda weights: ModelCard())
    config = "configs/zoo/mmdet/solov2_R50_3x.yaml"
    args = parse(
        "--config-file", Path(__file__).resolve().parents[2] / config, "--eval-only",
        "--val-json", _val_of_coco(tiny_files, tmp_path), "--val-images", tiny_files.val.images,
        "OUTPUT_DIR", tmp_path / "out",
    )  # fmt: skip
    assert build_cfg(args).MODEL.SOLOV2.NUM_CLASSES == 80
    metadata = MetadataCatalog.get("custom_val")
    dog = metadata.thing_classes.index("dog")
    assert len(metadata.thing_classes) == 80 and metadata.original_ids["category_id"][dog + 1] == 1
    assert {one["category_id"] for r in DatasetCatalog.get("custom_val") for one in r["annotations"]} == {dog}


@pytest.mark.parametrize("checkpoint", ["model_0000001.pth", "gone.pth", "damaged.pth"])
def test_a_resumed_evaluation_has_the_classes_of_the_last_checkpoint(tiny_files, tmp_path, checkpoint):
    out = tmp_path / "out"
    out.mkdir()
    card = ModelCard(tuple(Category(number, name) for number, name in enumerate(["cat", "ox", "dog"])))
    torch.save({"model": {"w": torch.ones(1)}, "model_card": card.as_dict()}, out / "model_0000001.pth")
    (out / "damaged.pth").write_bytes(b"PK")
    (out / "last_checkpoint").write_text(checkpoint)
    args = parse(
        "--eval-only", "--resume", "--val-json", _val_of_coco(tiny_files, tmp_path),
        "--val-images", tiny_files.val.images, "MODEL.META_ARCHITECTURE", "SOLOv2", "OUTPUT_DIR", out,
    )  # fmt: skip
    assert build_cfg(args).MODEL.SOLOV2.NUM_CLASSES == (3 if checkpoint == "model_0000001.pth" else 2)


def _changed_annotations(tiny_files, tmp_path, change):
    content = json.loads(Path(tiny_files.train.json).read_text())
    content["annotations"] = [
        annotation | change(number) for number, annotation in enumerate(content["annotations"])
    ]
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda _: {"iscrowd": 1}, "annotations are crowds"),
        (lambda _: {"segmentation": []}, "none of its annotations can be used .*no segmentation"),
        (lambda number: {"segmentation": []} if number else {}, "annotations cannot be used .*MAX_SKIPPED"),
    ],
)
def test_training_data_without_objects_are_one_line(tiny_files, tmp_path, change, line):
    args = own_data(tiny_files, tmp_path)
    args.train_json = str(_changed_annotations(tiny_files, tmp_path, change))
    with pytest.raises(InputError, match=line):
        build_cfg(args)


def test_the_share_that_may_be_skipped_is_a_key(tiny_files, tmp_path):
    args = own_data(tiny_files, tmp_path, "DATASETS.CUSTOM.MAX_SKIPPED", 1.0)
    args.train_json = str(
        _changed_annotations(tiny_files, tmp_path, lambda number: {"segmentation": []} if number else {})
    )
    build_cfg(args)
    assert sum(len(record["annotations"]) for record in DatasetCatalog.get("custom_train")) == 1


@pytest.mark.parametrize("training", [True, False])
def test_val_classes_are_matched_by_name(tiny_files, tmp_path, training):
    content = json.loads(Path(tiny_files.val.json).read_text())
    content["categories"].reverse()
    for place, category in enumerate(content["categories"], start=1):
        category["id"] = place
    for annotation in content["annotations"]:
        annotation["category_id"] = 3 - annotation["category_id"]
    changed = tmp_path / "val.json"
    changed.write_text(json.dumps(content))
    args = own_data(tiny_files, tmp_path, "MODEL.WEIGHTS", changed)
    args.val_json, args.eval_only = str(changed), not training
    build_cfg(args)
    train, val = DatasetCatalog.get("custom_train"), DatasetCatalog.get("custom_val")
    classes = [
        {one["category_id"] for record in records for one in record["annotations"]}
        for records in (train, val)
    ]
    assert classes[0] == classes[1] and len(classes[0]) == 1
    content["categories"][0]["name"] = "other"
    changed.write_text(json.dumps(content))
    with pytest.raises(InputError, match="different classes"):
        build_cfg(args)
