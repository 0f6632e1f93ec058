import json
import os
from pathlib import Path

import pytest
import torch

from detectron2.engine import DefaultTrainer, HookBase
from solo_d2.checkpoint import read_weight_file
from solo_d2.data.datasets import register_coco_format
from solo_d2.engine.run_config import build_cfg, build_parser
from solo_d2.engine.trainer import Trainer, autocast_dtype, evaluated_tasks
from solo_d2.evaluation.results import flatten_results
from solo_d2.utils.errors import InputError


class LossRecorder(HookBase):
    """Keeps every iteration's total loss; with ``stop_after``, breaks off as a crash would."""

    def __init__(self, stop_after=None):
        self.losses = {}
        self.stop_after = stop_after

    def after_step(self):
        self.losses[self.trainer.iter] = self.trainer.storage.latest()["total_loss"][0]
        if self.trainer.iter == self.stop_after:
            raise KeyboardInterrupt


def train(cfg, resume=False, stop_after=None):
    """Returns (trainer, total losses by iteration)."""
    os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    recorder = LossRecorder(stop_after)
    trainer.register_hooks([recorder])
    trainer.resume_or_load(resume=resume)
    try:
        trainer.train()
    except KeyboardInterrupt:
        assert stop_after is not None
    return trainer, recorder.losses


def test_trains_evaluates_and_keeps_files(tiny_cfg):
    tiny_cfg.TEST.EVAL_PERIOD = 3
    trainer, losses = train(tiny_cfg)
    assert list(losses) == list(range(6)) and losses[5] < losses[0]
    assert trainer.last_results["segm"]["AP"] > 90
    assert trainer.last_results["segm"]["AP-bright"] > 90
    out = tiny_cfg.OUTPUT_DIR
    for name in ("model_final.pth", "model_best.pth", "last_checkpoint", "metrics.json"):
        assert os.path.isfile(os.path.join(out, name)), name
    with open(os.path.join(out, "last_checkpoint")) as f:
        assert f.read() == "resume_0000005.pth"  # not those of weights only, which cannot be resumed
    final = torch.load(os.path.join(out, "model_final.pth"), weights_only=True)
    assert "trainer" not in final and final["iteration"] == 5 and final["model_card"]["categories"]
    with open(os.path.join(out, "metrics.json")) as f:
        assert any("segm/AP" in json.loads(line) for line in f)
    assert not [name for name in os.listdir(out) if name.endswith(".partial")]


@pytest.mark.parametrize("average", [False, True])
def test_every_file_of_weights_says_what_its_images_are(tiny_cfg, average):
    tiny_cfg.SOLVER.EMA.ENABLED = average
    tiny_cfg.TEST.EVAL_PERIOD = 3
    train(tiny_cfg)
    names = ["model_final.pth", "model_best.pth"] + ["model_final_ema.pth"] * average
    for name in names:
        stored = read_weight_file(os.path.join(tiny_cfg.OUTPUT_DIR, name))["preprocessing"]
        assert stored["channels"] == tiny_cfg.INPUT.FORMAT, name
        assert list(stored["mean"]) == list(tiny_cfg.MODEL.PIXEL_MEAN), name


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
@pytest.mark.parametrize("seed", [7, -1])
def test_resumed_losses_are_those_of_an_uninterrupted_run(tiny_cfg, tmp_path, optimizer, seed):
    tiny_cfg.SOLVER.OPTIMIZER = optimizer
    tiny_cfg.SEED = seed
    tiny_cfg.SOLVER.CHECKPOINT_PERIOD = 2
    tiny_cfg.SOLVER.EMA.ENABLED = True
    first, interrupted = train(tiny_cfg, stop_after=4)
    resumed_trainer, resumed = train(tiny_cfg, resume=True)
    assert list(interrupted) == [0, 1, 2, 3, 4] and list(resumed) == [4, 5]
    assert resumed_trainer.seed == first.seed
    whole_cfg = tiny_cfg.clone()
    whole_cfg.OUTPUT_DIR = str(tmp_path / "whole")
    whole_cfg.SEED = first.seed
    whole_trainer, whole = train(whole_cfg)
    assert {**interrupted, **resumed} == whole
    averages = resumed_trainer.ema.averaged.state_dict(), whole_trainer.ema.averaged.state_dict()
    assert all(torch.equal(averages[0][name], averages[1][name]) for name in averages[0])


def test_resume_without_checkpoint_starts_anew(tiny_cfg):
    trainer, losses = train(tiny_cfg, resume=True)
    assert list(losses) == list(range(6))


def test_resume_with_another_setup_is_explained(tiny_cfg):
    train(tiny_cfg)
    path = os.path.join(tiny_cfg.OUTPUT_DIR, "resume_0000005.pth")
    broken = torch.load(path, weights_only=True)
    broken["trainer"]["_trainer"]["optimizer"]["param_groups"].pop()
    torch.save(broken, path)
    with pytest.raises(InputError, match="another training set-up"):
        Trainer(tiny_cfg).resume_or_load(resume=True)


def test_resume_with_another_optimizer_is_explained(tiny_cfg):
    train(tiny_cfg)
    tiny_cfg.SOLVER.OPTIMIZER = "AdamW"
    with pytest.raises(InputError, match="another training set-up .SOLVER.OPTIMIZER was SGD, is AdamW"):
        Trainer(tiny_cfg).resume_or_load(resume=True)


def test_a_finished_run_resumes_with_its_evaluation(tiny_cfg):
    first, _ = train(tiny_cfg)
    again, losses = train(tiny_cfg, resume=True)
    assert not losses
    for task, results in first.last_results.items():
        assert again.last_results[task] == pytest.approx(results, nan_ok=True)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_amp_on_cpu(tiny_cfg, precision):
    tiny_cfg.SOLVER.AMP.ENABLED = True
    tiny_cfg.SOLVER.AMP.PRECISION = precision
    tiny_cfg.DATASETS.TEST = ()
    trainer, losses = train(tiny_cfg)
    tiny_cfg.SOLVER.AMP.ENABLED = False
    tiny_cfg.OUTPUT_DIR += "_full"
    _, full = train(tiny_cfg)
    assert losses != full  # it did compute in lower precision
    assert torch.allclose(torch.tensor(list(losses.values())), torch.tensor(list(full.values())), rtol=0.05)
    assert trainer._trainer.grad_scaler.is_enabled() == (precision == "float16")
    assert trainer.bare_model.conv.weight.dtype == torch.float32


def test_amp_precision_is_checked(tiny_cfg):
    tiny_cfg.SOLVER.AMP.ENABLED = True
    tiny_cfg.SOLVER.AMP.PRECISION = "half"
    with pytest.raises(InputError, match="float16, bfloat16"):
        autocast_dtype(tiny_cfg)


def test_optimizer_choice_and_weight_decay_groups(tiny_cfg):
    tiny_cfg.SOLVER.WEIGHT_DECAY = 0.05
    tiny_cfg.SOLVER.WEIGHT_DECAY_NORM = 0.0
    model = Trainer.build_model(tiny_cfg)
    for name, kind in (("SGD", torch.optim.SGD), ("AdamW", torch.optim.AdamW)):
        tiny_cfg.SOLVER.OPTIMIZER = name
        optimizer = Trainer.build_optimizer(tiny_cfg, model)
        assert isinstance(optimizer, kind)
        decay = {
            id(parameter): group["weight_decay"]
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        assert decay[id(model.conv.weight)] == 0.05
        assert decay[id(model.norm.weight)] == 0.0
    tiny_cfg.SOLVER.OPTIMIZER = "Lion"
    with pytest.raises(InputError, match="SGD or AdamW"):
        Trainer.build_optimizer(tiny_cfg, model)


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_gradients_are_clipped(tiny_cfg, optimizer):
    tiny_cfg.SOLVER.OPTIMIZER = optimizer
    tiny_cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    tiny_cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = "norm"
    tiny_cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = 0.5
    model = Trainer.build_model(tiny_cfg)
    stepper = Trainer.build_optimizer(tiny_cfg, model)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 100.0)
    stepper.step()
    assert model.conv.weight.grad.norm() == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_clipping_of_the_total_norm_is_the_steps_work(tiny_cfg, optimizer):
    tiny_cfg.SOLVER.OPTIMIZER = optimizer
    clip = tiny_cfg.SOLVER.CLIP_GRADIENTS
    clip.ENABLED, clip.CLIP_TYPE, clip.CLIP_VALUE = True, "full_model", 35.0
    trainer = Trainer(tiny_cfg)
    assert trainer._trainer.max_norm == 35.0
    assert type(trainer.optimizer) is getattr(torch.optim, optimizer)
    assert clip.ENABLED


def test_learning_rate_scales_with_the_number_of_processes(tiny_cfg):
    tiny_cfg.SOLVER.REFERENCE_WORLD_SIZE = 2
    tiny_cfg.SOLVER.IMS_PER_BATCH = 4
    tiny_cfg.SOLVER.WARMUP_ITERS = 4
    trainer = Trainer(tiny_cfg)  # one process
    assert trainer.cfg.SOLVER.IMS_PER_BATCH == 2
    assert trainer.cfg.SOLVER.BASE_LR == tiny_cfg.SOLVER.BASE_LR / 2
    assert trainer.max_iter == 12
    assert trainer.cfg.SOLVER.WARMUP_ITERS == 8
    assert DefaultTrainer.auto_scale_workers(tiny_cfg, 2).SOLVER.BASE_LR == tiny_cfg.SOLVER.BASE_LR


def test_final_average_can_be_loaded_as_weights(tiny_cfg):
    tiny_cfg.SOLVER.EMA.ENABLED = True
    trainer, _ = train(tiny_cfg)
    tiny_cfg.MODEL.WEIGHTS = os.path.join(tiny_cfg.OUTPUT_DIR, "model_final_ema.pth")
    tiny_cfg.OUTPUT_DIR += "_second"
    second = Trainer(tiny_cfg)
    second.resume_or_load(resume=False)
    averaged = trainer.ema.averaged.state_dict()
    assert not torch.equal(averaged["conv.weight"], trainer.bare_model.conv.weight)
    for name, value in second.bare_model.state_dict().items():
        assert torch.equal(value, averaged[name])
    assert second.start_iter == 0


def test_precise_statistics_are_saved_and_survive_resuming(tiny_cfg, tmp_path):
    tiny_cfg.SEED = 7
    tiny_cfg.SOLVER.CHECKPOINT_PERIOD = 2
    tiny_cfg.TEST.PRECISE_BN.ENABLED = True
    tiny_cfg.TEST.PRECISE_BN.NUM_ITER = 3
    train(tiny_cfg, stop_after=4)
    resumed, _ = train(tiny_cfg, resume=True)
    whole_cfg = tiny_cfg.clone()
    whole_cfg.OUTPUT_DIR = str(tmp_path / "whole")
    whole, _ = train(whole_cfg)
    precise = whole.bare_model.norm.running_var
    assert torch.equal(resumed.bare_model.norm.running_var, precise)
    saved = read_weight_file(os.path.join(whole_cfg.OUTPUT_DIR, "model_final.pth"))["model"]
    assert torch.equal(saved["norm.running_var"], precise)
    whole_cfg.OUTPUT_DIR = str(tmp_path / "moving")
    whole_cfg.TEST.PRECISE_BN.ENABLED = False
    moving, _ = train(whole_cfg)
    assert not torch.equal(moving.bare_model.norm.running_var, precise)
    assert torch.equal(moving.bare_model.conv.weight, whole.bare_model.conv.weight)


def test_precise_statistics_and_averaged_weights_exclude_each_other(tiny_cfg):
    tiny_cfg.TEST.PRECISE_BN.ENABLED = True
    tiny_cfg.SOLVER.EMA.ENABLED = True
    with pytest.raises(InputError, match="switch one of them off"):
        Trainer(tiny_cfg)


def test_box_only_evaluation(tiny_cfg):
    assert evaluated_tasks(tiny_cfg) == ("bbox", "segm")
    contour_cfg = tiny_cfg.clone()
    contour_cfg.MODEL.META_ARCHITECTURE, contour_cfg.MODEL.SOLOV2.MASK_TARGET = "SOLOv2", "contour"
    assert evaluated_tasks(contour_cfg) == ("bbox",)
    tiny_cfg.TEST.BOX_ONLY = True
    with pytest.raises(InputError, match="set TEST.BEST_METRIC bbox/AP"):
        Trainer(tiny_cfg)
    tiny_cfg.TEST.BEST_METRIC = "bbox/AP"
    trainer, _ = train(tiny_cfg)
    assert list(trainer.last_results) == ["bbox"]
    assert trainer.last_results["bbox"]["AP"] > 99
    assert os.path.isfile(os.path.join(tiny_cfg.OUTPUT_DIR, "model_best.pth"))


@pytest.mark.parametrize("expected, tolerance, passes", [(95, 5, True), (5, 1, False)])
def test_expected_results_are_checked(tiny_cfg, expected, tolerance, passes):
    tiny_cfg.TEST.EXPECTED_RESULTS = [["segm", "AP", expected, tolerance]]
    if passes:
        train(tiny_cfg)
        return
    with pytest.raises(SystemExit):
        train(tiny_cfg)


def test_what_cannot_be_measured_is_said_before_training(tiny_cfg, monkeypatch):
    def impossible(*args):
        raise InputError("no evaluator")

    monkeypatch.setattr("solo_d2.engine.trainer.build_evaluator", impossible)
    with pytest.raises(InputError, match="no evaluator"):
        Trainer(tiny_cfg)


def test_without_tensorboard_one_line_names_the_extra(tiny_cfg, monkeypatch, caplog):
    monkeypatch.setattr("solo_d2.engine.trainer.find_spec", {}.get)
    tiny_cfg.TEST.VIS_IMAGES = 1
    with caplog.at_level("INFO", logger="solo_d2"):
        Trainer(tiny_cfg)
    assert caplog.text.count('pip install "solo_d2[tensorboard]"') == 1


def test_panoptic_model_trains_and_evaluates(panoptic_set, tmp_path):
    config = Path(__file__).resolve().parents[2] / "configs" / "quick" / "panoptic_solov2_tiny.yaml"
    data = panoptic_set
    flags = ["--config-file", config, "OUTPUT_DIR", tmp_path / "out", "SOLVER.MAX_ITER", 2]
    flags += ["DATALOADER.NUM_WORKERS", 0, "SOLVER.IMS_PER_BATCH", 2, "TEST.VIS_IMAGES", 1]
    for prefix in ("--train", "--val"):
        own = [f"{prefix}-json", data.json, f"{prefix}-panoptic", data.panoptic]
        flags = [*own, f"{prefix}-images", data.images, *flags]
    cfg = build_cfg(build_parser().parse_args([str(flag) for flag in flags]))
    results = Trainer(cfg).train()["panoptic_seg"]
    assert {"PQ", "SQ_th", "RQ_st", "PQ-cat", "PQ-sea"} <= set(results)
    written = tmp_path / "out" / "inference"
    assert {"1.png", "2.png"} == {path.name for path in (written / "predictions").iterdir()}
    annotations = json.loads((written / "predictions.json").read_text())["annotations"]
    assert [a["image_id"] for a in annotations] == [1, 2]


def test_validation_data_without_annotations_only_gets_predictions(tiny_cfg, tiny_files, tmp_path, caplog):
    content = json.loads(Path(tiny_files.val.json).read_text())
    del content["annotations"]
    (tmp_path / "bare.json").write_text(json.dumps(content))
    register_coco_format("tiny_val", tmp_path / "bare.json", tiny_files.val.images)
    tiny_cfg.TEST.EVAL_PERIOD = 3
    trainer, _ = train(tiny_cfg)
    assert trainer.last_results == {} and "no ground truth to score against" in caplog.text
    written = Path(tiny_cfg.OUTPUT_DIR, "inference", "coco_instances_results.json")
    assert {row["image_id"] for row in json.loads(written.read_text())} == {0, 1, 2}


@pytest.mark.parametrize(
    "name",
    [
        lambda number: f"im-{number}",
        lambda number: f"{number:06d}",
        lambda number: -1 - number,
        lambda number: 2**53 + 1 + number,
        lambda number: number if number % 2 else f"a{number}",
        float,
    ],
)
def test_results_do_not_depend_on_how_ids_are_written(tiny_cfg, tiny_files, tmp_path, name):
    model = Trainer.build_model(tiny_cfg)
    expected = flatten_results(Trainer.test(tiny_cfg, model))
    content = json.loads(Path(tiny_files.val.json).read_text())
    for image in content["images"]:
        image["id"] = name(image["id"])
    for number, annotation in enumerate(content["annotations"]):
        annotation["id"] = 2**64 + number
        annotation["image_id"] = name(annotation["image_id"])
    (tmp_path / "renamed.json").write_text(json.dumps(content))
    register_coco_format("tiny_val", tmp_path / "renamed.json", tiny_files.val.images, tmp_path)
    assert flatten_results(Trainer.test(tiny_cfg, model)) == expected and expected["segm/AP"] > 90
    rows = json.loads(Path(tiny_cfg.OUTPUT_DIR, "inference", "coco_instances_results.json").read_text())
    assert {row["image_id"] for row in rows} == {image["id"] for image in content["images"]}
