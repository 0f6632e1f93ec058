import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import (
    DefaultPredictor,
    DefaultTrainer,
    create_ddp_model,
    default_argument_parser,
    default_setup,
    default_writers,
)
from detectron2.evaluation import DatasetEvaluator
from detectron2.modeling import META_ARCH_REGISTRY


@META_ARCH_REGISTRY.register()
class MeanColour(torch.nn.Module):
    """Learns the mean of its images; answers with shape and first pixel."""

    def __init__(self, cfg):
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(3))

    def forward(self, batch):
        if self.training:
            target = torch.stack([item["image"].float().mean((1, 2)) / 255 for item in batch])
            return {"loss_mean": (target - self.mean).square().mean()}
        keys = ("height", "width")
        return [
            {"image": item["image"], **{key: item[key] for key in keys}, "mean": self.mean.tolist()}
            for item in batch
        ]


class CountImages(DatasetEvaluator):
    def reset(self):
        self.count = 0

    def process(self, inputs, outputs):
        self.count += len(inputs)

    def evaluate(self):
        return {"images": {"count": self.count}}


class CountingTrainer(DefaultTrainer):
    @classmethod
    def build_evaluator(cls, cfg, dataset_name):
        return CountImages()


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
    cfg.MODEL.META_ARCHITECTURE = "MeanColour"
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


def test_trains_evaluates_and_resumes(cfg, tmp_path):
    trainer = CountingTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    assert trainer.storage.latest()["images/count"] == (4.0, 4)
    losses = [value for value, _ in trainer.storage.history("total_loss").values()]
    assert losses[-1] < losses[0]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"model_0000001.pth", "model_final.pth", "last_checkpoint", "metrics.json"} <= names

    cfg.SOLVER.MAX_ITER = 6
    resumed = CountingTrainer(cfg)
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 4
    assert torch.equal(resumed.model.mean, trainer.model.mean)
    resumed.train()
    assert [i for _, i in resumed.storage.history("total_loss").values()] == [4, 5]


def test_without_evaluator_results_are_empty(cfg):
    assert DefaultTrainer.test(cfg, DefaultTrainer.build_model(cfg)) == {}
    model = DefaultTrainer.build_model(cfg)
    assert DefaultTrainer.test(cfg, model, CountImages()) == {"images": {"count": 4}}


@pytest.mark.parametrize("order", ["BGR", "RGB"])
def test_predictor_prepares_one_picture(cfg, tmp_path, order):
    model = DefaultTrainer.build_model(cfg)
    torch.nn.init.constant_(model.mean, 0.25)
    DetectionCheckpointer(model, str(tmp_path)).save("weights")
    cfg.MODEL.WEIGHTS = str(tmp_path / "weights.pth")
    cfg.INPUT.FORMAT = order
    predictor = DefaultPredictor(cfg)
    assert predictor.metadata.thing_classes == ["thing"]
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:] = (50, 100, 200)  # BGR
    result = predictor(picture)
    assert (result["height"], result["width"]) == (20, 30)
    assert result["image"].shape == (3, 16, 24) and result["image"].dtype == torch.float32
    expected = [50, 100, 200] if order == "BGR" else [200, 100, 50]
    assert result["image"][:, 0, 0].tolist() == expected
    assert result["mean"] == [0.25] * 3


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
    assert written.SEED == 5 and written.MODEL.META_ARCHITECTURE == "MeanColour"
    assert (tmp_path / "out" / "log.txt").is_file()


def test_writers_and_single_process_model(tmp_path):
    writers = default_writers(str(tmp_path / "new"), 10)
    kinds = [type(writer).__name__ for writer in writers]
    assert kinds == ["CommonMetricPrinter", "JSONWriter", "TensorboardXWriter"]
    for writer in writers:
        writer.close()
    model = torch.nn.Linear(1, 1)
    assert create_ddp_model(model) is model
