"""DenseCL in two gloo processes: shuffled batch norm, common queues, common weights."""

import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import solo_d2  # noqa: F401  (registers the models)
from detectron2.modeling import build_model
from solo_d2.config import get_cfg
from solo_d2.engine.trainer import wrap_distributed

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "quick" / "densecl_tiny.yaml"
COUNT = 4


def make_model():
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIG))
    node = cfg.MODEL.DENSECL
    node.HIDDEN_DIM, node.FEAT_DIM, node.QUEUE_SIZE = 16, 8, 32
    return build_model(cfg).train()


def views_of(rank: int) -> torch.Tensor:
    """(2, COUNT, 3, 64, 64) query and key views; brightness differs between images and ranks."""
    generator = torch.Generator().manual_seed(rank)
    views = torch.randint(0, 100, (2, COUNT, 3, 64, 64), dtype=torch.uint8, generator=generator)
    return views + (30 * torch.arange(COUNT, dtype=torch.uint8) + 20 * rank).view(1, COUNT, 1, 1, 1)


def run_rank(rank: int, address: str, folder: str) -> None:
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    torch.manual_seed(rank)  # the ranks are initialised differently and have to agree all the same
    model = make_model()
    wrapped = wrap_distributed(model)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        losses = wrapped([{"image": a, "key_image": b} for a, b in zip(*views_of(rank), strict=True)])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    torch.save({"start": start, "end": model.state_dict()}, f"{folder}/{rank}.pth")
    dist.destroy_process_group()


def test_two_processes():
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(run_rank, args=(f"file://{folder}/store", folder), nprocs=2)
        ranks = [torch.load(f"{folder}/{rank}.pth") for rank in (0, 1)]
    for when in ("start", "end"):
        for name, value in ranks[0][when].items():
            if "running_" not in name:  # each process's own statistics
                assert torch.equal(value, ranks[1][when][name]), (when, name)
    end = ranks[0]["end"]
    assert end["num_steps"] == 2 and end["queue.cursor"] == 4 * COUNT == end["dense_queue.cursor"]
    check_first_keys(ranks[0]["start"], end)


def check_first_keys(start: dict, end: dict) -> None:
    """The keys of the first step are those of two mixed batches, put back into the order of the ranks."""
    model = make_model()
    model.load_state_dict(start)
    model.key_encoder.update(model.backbone)
    keys = torch.cat([views_of(rank)[1] for rank in (0, 1)])
    order = torch.randperm(2 * COUNT, generator=torch.Generator().manual_seed(0))
    shares = [model.key_encoder(model.normalize(keys[own]), with_mean=True) for own in order.chunk(2)]
    for name, queue in (("whole", "queue"), ("mean", "dense_queue")):
        mixed = torch.cat([getattr(share, name) for share in shares])
        expected = torch.empty_like(mixed)
        expected[order] = mixed
        torch.testing.assert_close(end[f"{queue}.keys"][: 2 * COUNT], expected, rtol=1e-4, atol=1e-5)
        # Batches that were not mixed give other keys: the comparison can tell.
        plain = torch.cat(
            [getattr(model.key_encoder(model.normalize(own), with_mean=True), name) for own in keys.chunk(2)]
        )
        assert (plain - expected).abs().max() > 1e-3
