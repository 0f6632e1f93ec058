import numpy as np
import pytest
import torch
from PIL import Image

import detectron2
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import DefaultTrainer, default_argument_parser, default_setup, default_writers
from detectron2.evaluation import DatasetEvaluator
from detectron2.modeling import META_ARCH_REGISTRY


@META_ARCH_REGISTRY.register()
class MeanColor(torch.nn.Module):
    """Predicts one number for every image."""

    def __init__(self, cfg):
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(3))

    def forward(self, batch):
        return [{"mean": self.mean.tolist()} for _ in batch]


class CountImages(DatasetEvaluator):
    def reset(self):
        self.count = 0

    def process(self, inputs, outputs):
        self.count += len(inputs)

    def evaluate(self):
        return {"images": {"count": self.count}}


@pytest.fixture
def cfg(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.full((20, 30, 3), (200, 100, 50), np.uint8)).save(path)
    annotation = {"bbox": [2, 2, 8, 8], "bbox_mode": 1, "category_id": 0, "iscrowd": 0}
    record = {
        "file_name": str(path), "height": 20, "width": 30, "image_id": 1, "annotations": [annotation],
    }  # fmt: skip
    DatasetCatalog.register("one_image", lambda: [dict(record, image_id=i) for i in range(4)])
    MetadataCatalog.get("one_image").set(thing_classes=["thing"])
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE = "MeanColor"
    cfg.MODEL.DEVICE = "cpu"
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = ("one_image",)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.INPUT.MIN_SIZE_TRAIN = (16,)
    cfg.INPUT.MIN_SIZE_TEST = 16
    cfg.SOLVER.IMS_PER_BATCH = 2
    cfg.SOLVER.MAX_ITER = 4
    cfg.SOLVER.STEPS = ()
    cfg.SOLVER.BASE_LR = 0.5
    cfg.SOLVER.WARMUP_ITERS = 0
    cfg.SOLVER.CHECKPOINT_PERIOD = 2
    cfg.OUTPUT_DIR = str(tmp_path / "out")
    yield cfg
    DatasetCatalog.remove("one_image")
    MetadataCatalog.remove("one_image")


def test_without_evaluator_results_are_empty(cfg):
    assert DefaultTrainer.test(cfg, DefaultTrainer.build_model(cfg)) == {}
    model = DefaultTrainer.build_model(cfg)
    assert DefaultTrainer.test(cfg, model, CountImages()) == {"images": {"count": 4}}


def test_scaling_to_another_number_of_processes():
    cfg = get_cfg()
    assert DefaultTrainer.auto_scale_workers(cfg, 3) is cfg  # REFERENCE_WORLD_SIZE 0: off
    cfg.SOLVER.REFERENCE_WORLD_SIZE = 8
    cfg.TEST.EVAL_PERIOD = 777
    assert DefaultTrainer.auto_scale_workers(cfg, 8) is cfg
    scaled = DefaultTrainer.auto_scale_workers(cfg, 3)
    assert scaled.SOLVER.IMS_PER_BATCH == 6
    assert scaled.SOLVER.BASE_LR == pytest.approx(0.000375)
    assert (scaled.SOLVER.MAX_ITER, scaled.SOLVER.WARMUP_ITERS) == (106667, 2667)
    assert (scaled.SOLVER.STEPS, scaled.SOLVER.CHECKPOINT_PERIOD) == ((80000,), 13333)
    assert (scaled.TEST.EVAL_PERIOD, scaled.SOLVER.REFERENCE_WORLD_SIZE) == (2072, 3)
    assert cfg.SOLVER.IMS_PER_BATCH == 16 and not scaled.is_frozen()
    cfg.freeze()
    assert DefaultTrainer.auto_scale_workers(cfg, 3).is_frozen()


def test_flags():
    args = default_argument_parser().parse_args([])
    assert (args.config_file, args.resume, args.eval_only, args.opts) == ("", False, False, [])
    assert (args.num_gpus, args.num_machines, args.machine_rank) == (1, 1, 0)
    assert args.dist_url.startswith("tcp://127.0.0.1:")
    given = "--config-file c.yaml --resume --eval-only --num-gpus 2 --num-machines 3".split()
    given += "--machine-rank 1 --dist-url tcp://a:1 SOLVER.BASE_LR 0.1".split()
    args = default_argument_parser().parse_args(given)
    assert (args.config_file, args.resume, args.eval_only) == ("c.yaml", True, True)
    assert (args.num_gpus, args.num_machines, args.machine_rank) == (2, 3, 1)
    assert args.opts == ["SOLVER.BASE_LR", "0.1"] and args.dist_url == "tcp://a:1"


def test_setup_writes_config_and_seeds(cfg, tmp_path):
    cfg.SEED = 5
    args = default_argument_parser().parse_args([])
    draws = []
    for _ in range(2):
        default_setup(cfg, args)
        draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[1]
    written = get_cfg()
    written.merge_from_file(str(tmp_path / "out" / "config.yaml"))
    assert written.SEED == 5 and written.MODEL.META_ARCHITECTURE == "MeanColor"
    assert (tmp_path / "out" / "log.txt").is_file()


@pytest.mark.skipif(
    "d2lite" not in detectron2.__version__, reason="the real Detectron2 requires TensorBoard itself"
)
def test_writers_without_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setattr("detectron2.engine.defaults.find_spec", {}.get)
    writers = default_writers(str(tmp_path), 10)
    assert [type(writer).__name__ for writer in writers] == ["CommonMetricPrinter", "JSONWriter"]
    for writer in writers:
        writer.close()


def test_writers(tmp_path):
    writers = default_writers(str(tmp_path / "new"), 10)
    kinds = [type(writer).__name__ for writer in writers]
    assert kinds == ["CommonMetricPrinter", "JSONWriter", "TensorboardXWriter"]
    for writer in writers:
        writer.close()


@pytest.mark.d2lite_only
def test_building_a_trainer_without_a_step_says_what_to_use(cfg):
    with pytest.raises(NotImplementedError, match="solo_d2.engine.trainer.Trainer"):
        DefaultTrainer(cfg)
