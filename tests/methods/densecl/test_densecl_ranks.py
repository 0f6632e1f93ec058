"""DenseCL in two gloo processes: shuffled batch norm, common queues and weights, own matches."""

import tempfile
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import solo_d2  # noqa: F401  (registers the models)
from detectron2.modeling import build_model
from solo_d2.config import get_cfg
from solo_d2.engine.trainer import wrap_distributed
from solo_d2.methods.densecl import model as densecl
from solo_d2.methods.densecl.head import Projections
from solo_d2.methods.densecl.losses import match_cells

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "quick" / "densecl_tiny.yaml"
COUNT = 4


def make_model():
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIG))
    node = cfg.MODEL.DENSECL
    node.HIDDEN_DIM, node.FEAT_DIM, node.QUEUE_SIZE = 16, 8, 32
    # Cells that see a part of the view: their matches follow from the images.
    cfg.MODEL.RESNETS.OUT_FEATURES, node.IN_FEATURE = ["res3"], "res3"
    return build_model(cfg).train()


def views_of(rank: int) -> torch.Tensor:
    """(2, COUNT, 3, 64, 64) query and key views; brightness differs between images and ranks.

    They consist of squares, which lie elsewhere in the key view, in every image in another way.
    """
    generator = torch.Generator().manual_seed(rank)
    squares = torch.randint(0, 100, (COUNT, 3, 8, 8), dtype=torch.uint8, generator=generator)
    squares += (30 * torch.arange(COUNT, dtype=torch.uint8) + 20 * rank).view(COUNT, 1, 1, 1)
    moved = [image.roll((i + 1, 3 * rank + i), (1, 2)) for i, image in enumerate(squares)]
    views = torch.stack([squares, torch.stack(moved)])
    return views.repeat_interleave(8, 3).repeat_interleave(8, 4)


def run_rank(rank: int, address: str, folder: str) -> None:
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    torch.manual_seed(rank)  # the ranks are initialized differently but must agree
    model = make_model()
    wrapped = wrap_distributed(model)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    matches, steps = [], []

    def match_and_note(*features: torch.Tensor) -> torch.Tensor:
        matches.append(match_cells(*features))
        return matches[-1]

    densecl.match_cells = match_and_note
    for _ in range(2):
        losses = wrapped([{"image": a, "key_image": b} for a, b in zip(*views_of(rank), strict=True)])
        steps.append({name: loss.detach() for name, loss in losses.items()})
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    seen = {"matches": matches[0], "losses": steps[0]}
    torch.save({"start": start, "end": model.state_dict(), **seen}, f"{folder}/{rank}.pth")
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
    assert end["queue.cursor"] == 4 * COUNT == end["dense_queue.cursor"]
    model = make_model()
    model.load_state_dict(ranks[0]["start"])
    model.key_encoder.update(model.backbone)
    keys = mixed_keys(model)
    check_first_keys(model, keys, end)
    for rank, seen in enumerate(ranks):
        check_first_losses(model, rank, keys, seen)


def mixed_keys(model) -> Projections:
    """Keys of both ranks in their order, from two batches mixed as the first step does; in one process."""
    views = torch.cat([views_of(rank)[1] for rank in (0, 1)])
    order = torch.randperm(2 * COUNT, generator=torch.Generator().manual_seed(0))
    shares = [model.key_encoder(model.normalize(views[own]), with_mean=True) for own in order.chunk(2)]
    return join(*shares).map(lambda mixed: mixed[order.argsort()])


def join(*parts: Projections) -> Projections:
    return Projections(
        *(torch.cat(values) for values in zip(*(vars(x).values() for x in parts), strict=True))
    )


def check_first_keys(model, keys: Projections, end: dict) -> None:
    """The queues hold the keys of two mixed batches, put back into the order of the ranks."""
    plain = join(*(model.key_encoder(model.normalize(views_of(rank)[1]), with_mean=True) for rank in (0, 1)))
    for name, queue in (("whole", "queue"), ("mean", "dense_queue")):
        expected = getattr(keys, name)
        torch.testing.assert_close(end[f"{queue}.keys"][: 2 * COUNT], expected, rtol=1e-4, atol=1e-5)
        # Batches that were not mixed give other keys: the comparison can tell.
        assert (getattr(plain, name) - expected).abs().max() > 1e-3


def check_first_losses(model, rank: int, keys: Projections, seen: dict) -> None:
    """A rank's matches and losses are those of its own queries and its own keys, cell by cell."""
    queries = model.backbone(model.normalize(views_of(rank)[0]))
    own = keys.map(lambda x: x.chunk(2)[rank])
    assert torch.equal(seen["matches"], match_cells(queries.features, own.features))
    expected = model.losses(queries, own)
    for name in ("loss_global", "loss_dense"):
        torch.testing.assert_close(seen["losses"][name], expected[name].detach(), rtol=1e-4, atol=1e-5)
    # Features, by which cells match, or projections of other images give another loss.
    for name in ("features", "cells"):
        strange = replace(own, **{name: getattr(keys, name).roll(1, 0).chunk(2)[rank]})
        assert not torch.isclose(
            model.losses(queries, strange)["loss_dense"], expected["loss_dense"], rtol=1e-3
        )
