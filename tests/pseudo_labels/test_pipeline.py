"""The stages of a run, and what each follows from."""

from pathlib import Path

import pytest

from solo_d2.config.loading import load_config
from solo_d2.data.image_paths import ImagePaths
from solo_d2.pseudo_labels.pipeline import Method, Pipeline
from solo_d2.pseudo_labels.stages import resting_on

ROOT = Path(__file__).resolve().parents[2]
QUICK = ROOT / "configs" / "quick"
LISTED = ImagePaths(Path("images"), ("1.png", "2.png"), (1, 2))


def method(name, *options):
    return Method(str(QUICK / name), load_config(QUICK / name, options), list(options))


@pytest.fixture
def make(tmp_path):
    for name in ("backbone.pth", "masks.json", "val.json"):
        (tmp_path / name).write_text(name)

    def make_(*options, **more):
        values = {
            "output": tmp_path / "out",
            "images": "images",
            "listed": LISTED,
            "free_mask": method("free_mask_tiny.yaml"),
            "segmenter": method("solov2_tiny.yaml", *options),
            "backbone": str(tmp_path / "backbone.pth"),
        }
        pipeline = Pipeline(**(values | more))
        assert pipeline.stages  # files are read now, not when a test looks
        return pipeline

    return make_


def names(pipeline):
    return [stage.name for stage in pipeline.stages]


def stage(pipeline, name):
    return pipeline.stages[names(pipeline).index(name)]


def test_stages_and_what_they_rest_on(make, tmp_path):
    assert names(make()) == ["masks", "train", "labels_1", "train_1", "sample"]
    assert names(make(rounds=0)) == ["masks", "train", "sample"]
    assert names(make(masks=str(tmp_path / "masks.json"))) == ["train", "labels_1", "train_1", "sample"]
    full = make(
        backbone="", densecl=method("solov2_tiny.yaml"), val_json=str(tmp_path / "val.json"), rounds=2
    )
    assert names(full) == [
        "densecl", "masks", "masks_evaluation", "train", "train_evaluation", "labels_1", "train_1",
        "train_1_evaluation", "labels_2", "train_2", "train_2_evaluation", "sample",
    ]  # fmt: skip
    for one in full.stages:
        assert set(one.after) <= set(names(full)[: names(full).index(one.name)])
    assert stage(full, "train_2").after == ("densecl", "labels_2")
    assert stage(full, "labels_2").after == ("train_1",) and stage(full, "sample").after == ("train_2",)
    assert list(full.measured.values()) == [name for name in names(full) if name.endswith("_evaluation")]


def test_what_rests_on_a_stage(make, tmp_path):
    full = make(backbone="", densecl=method("solov2_tiny.yaml"), val_json=str(tmp_path / "val.json"))
    assert resting_on(["densecl"], full.stages) == names(full)
    assert resting_on(["train"], full.stages) == names(full)[3:]
    leaves = ["masks_evaluation", "train_evaluation"]  # new labels to evaluate with cost no training
    assert resting_on(leaves, full.stages) == leaves
    assert resting_on(["labels_1"], full.stages) == ["labels_1", "train_1", "train_1_evaluation", "sample"]
    assert resting_on([], full.stages) == []


def test_every_stage_reads_what_the_one_before_wrote(make, tmp_path):
    pipeline = make(backbone="", densecl=method("solov2_tiny.yaml"))
    out = tmp_path / "out"
    train, export = stage(pipeline, "densecl").commands
    assert train[train.index("--train-unlabelled") + 1] == "images"
    assert train[train.index("OUTPUT_DIR") + 1] == str(out / "densecl")
    assert export[:4] == ["-m", "solo_d2", "export", "backbone"]
    assert export[5::2] == [str(out / "densecl" / name) for name in ("model_final.pth", "backbone.pth")]
    (masks,) = stage(pipeline, "masks").commands
    assert masks[-2:] == ["MODEL.WEIGHTS", str(out / "densecl" / "backbone.pth")]
    (second,) = stage(pipeline, "train_1").commands
    assert second[second.index("--train-json") + 1] == str(out / "labels_1" / "labels.json")
    assert second[second.index("MODEL.WEIGHTS") + 1] == str(out / "densecl" / "backbone.pth")
    assert second[-2:] == ["SEED", "0"] and "--resume" in second


def test_settings_follow_options_and_given_files(make, tmp_path):
    before = stage(make(), "train").settings
    assert before["SOLVER.MAX_ITER"] == 1300 and before["--seed"] == 0
    assert stage(make("SOLVER.MAX_ITER", "7"), "train").settings["SOLVER.MAX_ITER"] == 7
    assert not {"OUTPUT_DIR", "MODEL.WEIGHTS", "MODEL.DEVICE"} & set(before)
    (tmp_path / "backbone.pth").write_text("other")
    after = stage(make(), "train").settings
    assert {key for key in before if before[key] != after[key]} == {"backbone (SHA-256)"}


def changed_keys(before, after):
    """Names of the settings that differ, of each stage that has any."""
    found = {}
    for one, other in zip(before.stages, after.stages, strict=True):
        keys = {key for key in one.settings if one.settings[key] != other.settings[key]}
        found |= {one.name: keys} if keys else {}
    return found


def test_a_trained_segmenter_takes_the_place_of_the_first_training(make, tmp_path):
    path = tmp_path / "trained.pth"
    path.write_text("one")

    def build():
        return make(trained=str(path), val_json=str(tmp_path / "val.json"), val_images="val")

    before = build()
    assert names(before) == ["train_evaluation", "labels_1", "train_1", "train_1_evaluation", "sample"]
    assert list(before.measured.values()) == ["train_evaluation", "train_1_evaluation"]
    assert "free masks" not in before.label_stages
    for name in ("train_evaluation", "labels_1"):
        assert stage(before, name).after == () and str(path) in stage(before, name).commands[0]
    (training,) = stage(before, "train_1").commands
    assert training[training.index("MODEL.WEIGHTS") + 1] == str(tmp_path / "backbone.pth")
    assert names(make(trained=str(path), rounds=0)) == ["sample"]
    path.write_text("other")
    found = changed_keys(before, build())
    assert found == dict.fromkeys(("train_evaluation", "labels_1"), {"segmenter (SHA-256)"})


def test_other_images_under_the_same_name_are_noticed(make):
    key = {"image names and ids (SHA-256)"}
    more = ImagePaths(LISTED.root, (*LISTED.names, "3.png"), (1, 2, 3))
    renumbered = ImagePaths(LISTED.root, LISTED.names, (2, 1))
    pretrain = {"backbone": "", "densecl": method("solov2_tiny.yaml")}
    for listed in (more, renumbered):
        found = changed_keys(make(**pretrain), make(listed=listed, **pretrain))
        assert found == dict.fromkeys(("densecl", "masks", "labels_1", "sample"), key)
    moved = ImagePaths(Path("elsewhere"), LISTED.names, LISTED.ids)
    found = changed_keys(make(**pretrain), make(listed=moved, **pretrain))
    assert set(found) == set(names(make(**pretrain))) and all(k == {"image_root"} for k in found.values())


def test_the_weights_that_pre_training_starts_from_are_its_settings(make, tmp_path):
    def build():
        start = method("solov2_tiny.yaml", "MODEL.WEIGHTS", str(tmp_path / "start.pth"))
        return make(backbone="", densecl=start)

    (tmp_path / "start.pth").write_text("one")
    before = build()
    (tmp_path / "start.pth").write_text("other")
    assert changed_keys(before, build()) == {"densecl": {"weights (SHA-256)"}}


def test_the_folder_that_a_run_is_called_from_does_not_matter(make, tmp_path, monkeypatch):
    def build(images, val_images):
        listed = ImagePaths(Path(images), LISTED.names, LISTED.ids)
        val = {"val_json": str(tmp_path / "val.json"), "val_images": val_images}
        return make(images=images, listed=listed, backbone="", densecl=method("solov2_tiny.yaml"), **val)

    monkeypatch.chdir(tmp_path)
    before = build("images", "val/images")
    monkeypatch.chdir(ROOT)
    assert changed_keys(before, build(str(tmp_path / "images"), str(tmp_path / "val" / "images"))) == {}
    assert set(changed_keys(before, build("images", "val/images"))) == set(names(before))


def test_what_labels_follow_from_costs_no_training(make, tmp_path):
    before = make(val_json=str(tmp_path / "val.json"))
    after = make("PSEUDO_LABELS.UPDATE_THR", "0.2", val_json=str(tmp_path / "val.json"))
    assert changed_keys(before, after) == dict.fromkeys(("labels_1", "sample"), {"PSEUDO_LABELS.UPDATE_THR"})
    assert changed_keys(make(), make("PSEUDO_LABELS.BATCH_SIZE", "1")) == {}  # after a lack of memory


def test_nothing_is_pre_trained_where_nothing_is_trained(make, tmp_path):
    (tmp_path / "trained.pth").write_text("one")
    more = {"backbone": "", "densecl": method("solov2_tiny.yaml"), "trained": str(tmp_path / "trained.pth")}
    assert names(make(rounds=0, **more)) == ["sample"]
    assert names(make(rounds=1, **more)) == ["densecl", "labels_1", "train_1", "sample"]


def test_other_evaluation_images_are_noticed(make, tmp_path):
    before, after = (make(val_json=str(tmp_path / "val.json"), val_images=name) for name in ("a", "b"))
    names_ = ("masks_evaluation", "train_evaluation", "train_1_evaluation")
    assert changed_keys(before, after) == dict.fromkeys(names_, {"val_images"})
