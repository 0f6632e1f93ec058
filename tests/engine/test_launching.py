import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from solo_d2.engine.launching import launch_training, under_torchrun
from solo_d2.utils.errors import InputError

ROOT = Path(__file__).resolve().parents[2]

# Each process trains SOLOv2 for three steps on batches of its own; all of rank 1's are empty.
TWO_RANKS = """
import sys, types
import torch
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils import comm
import solo_d2
from solo_d2.config import get_cfg
from solo_d2.engine.cli import run_cli
from solo_d2.engine.launching import launch_training
from solo_d2.engine.trainer import Trainer


class Loader:
    def __init__(self, empty):
        self.empty = empty

    def __iter__(self):
        generator = torch.Generator().manual_seed(comm.get_rank())
        while True:
            targets = Instances((64, 64))
            masks = torch.zeros(0 if self.empty else 1, 64, 64, dtype=torch.bool)
            masks[:, 10:40, 20:50] = True
            targets.gt_masks = BitMasks(masks)
            targets.gt_boxes = targets.gt_masks.get_bounding_boxes()
            targets.gt_classes = torch.zeros(len(masks), dtype=torch.int64)
            image = torch.randint(0, 255, (3, 64, 64), generator=generator, dtype=torch.uint8)
            yield [{"image": image, "instances": targets, "file_name": "a", "height": 64, "width": 64}]


class RankTrainer(Trainer):
    @classmethod
    def build_train_loader(cls, cfg):
        return Loader(empty=comm.get_rank() == 1)


def main(args):
    cfg = get_cfg()
    cfg.merge_from_file(args.config)
    cfg.OUTPUT_DIR = args.out
    cfg.SOLVER.MAX_ITER = 3
    cfg.SOLVER.IMS_PER_BATCH = 2
    cfg.SOLVER.REFERENCE_WORLD_SIZE = 2
    cfg.DATASETS.TEST = ()
    cfg.SEED = comm.get_rank()  # differently initialized: the ranks must agree nevertheless
    assert comm.get_world_size() == 2 and comm.get_local_size() == 2
    trainer = RankTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    weights = trainer.bare_model.state_dict()
    torch.save(weights, f"{args.out}/rank{comm.get_rank()}.pth")


if __name__ == "__main__":
    args = types.SimpleNamespace(
        config=sys.argv[1], out=sys.argv[2], num_gpus=2, num_machines=1, machine_rank=0, dist_url="auto"
    )
    run_cli(lambda: launch_training(main, args))
"""


def run_two_ranks(tmp_path, launcher):
    script = tmp_path / "two_ranks.py"
    script.write_text(TWO_RANKS)
    config = ROOT / "configs" / "quick" / "solov2_tiny.yaml"
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    result = subprocess.run(
        [sys.executable, *launcher, str(script), str(config), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return [torch.load(tmp_path / f"rank{rank}.pth", weights_only=True) for rank in (0, 1)]


# Spawned by this project, or started by torchrun.
@pytest.mark.parametrize(
    "launcher", [[], ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]]
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="this is the test of gloo on CPUs")
def test_two_processes_with_one_rank_all_empty(tmp_path, launcher):
    weights = run_two_ranks(tmp_path, launcher)
    learned = [name for name in weights[0] if name.endswith(("weight", "bias"))]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in learned)
    assert all(weights[0][name].isfinite().all() for name in learned)
    assert not (tmp_path / "nonfinite_iter_0000000.pth").exists()


def flags(**changes):
    base = {"num_gpus": 1, "num_machines": 1, "machine_rank": 0, "dist_url": "auto"}
    return SimpleNamespace(**{**base, **changes})


def test_one_process_is_a_plain_call():
    calls = []
    launch_training(calls.append, flags())
    assert calls == [flags()]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_machines": 2}, "--dist-url tcp://"),
        ({"num_gpus": -1}, "--num-gpus -1: it must be at least 0"),
        ({"num_machines": 0}, "--num-machines 0: it must be at least 1"),
        ({"machine_rank": 1}, "--machine-rank is 0 to 0, not 1"),
        ({"num_gpus": 1000}, "this machine has"),
    ],
)
def test_impossible_flags(changes, message):
    if changes.get("num_gpus", 0) > 0 and not torch.cuda.is_available():
        pytest.skip("any number of processes can run on a CPU")
    with pytest.raises(InputError, match=message):
        launch_training(print, flags(**changes))


def test_torchrun_is_recognised(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert not under_torchrun()
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "0")
    assert under_torchrun()
