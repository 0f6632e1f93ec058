"""CondInst from configs: ablations, without boxes, half precision, two processes of which one is empty."""

import tempfile
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

import solo_d2  # noqa: F401  (registers the models)
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from solo_d2.config import get_cfg
from solo_d2.utils.errors import InputError

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "quick" / "condinst_tiny.yaml"
SIZE = (64, 96)
# An untrained model gives results, too.
EVERYTHING = ("MODEL.FCOS.INFERENCE_TH_TEST", 0.0, "MODEL.CONDINST.UPDATE_THR", 0.0)


def build(*options, config: Path = CONFIG):
    cfg = get_cfg()
    cfg.merge_from_file(str(config))
    cfg.merge_from_list(list(options))
    torch.manual_seed(0)
    return build_model(cfg)


def make_item(count: int) -> dict:
    generator = torch.Generator().manual_seed(count)
    instances = Instances(SIZE)
    corner = torch.tensor([[6.0, 4.0], [50.0, 20.0], [20.0, 30.0]])[:count]
    boxes = torch.cat([corner, corner + 28], dim=1)
    masks = torch.zeros(count, *SIZE, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.long().tolist(), strict=True):
        mask[y0:y1, x0:x1] = True
    instances.gt_boxes, instances.gt_masks = Boxes(boxes), BitMasks(masks)
    instances.gt_classes = torch.arange(count)
    image = torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8, generator=generator)
    return {"image": image, "instances": instances}


def train_and_infer(model) -> dict:
    losses = model.train()([make_item(3), make_item(0)])
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    with torch.no_grad():
        model.eval()([make_item(1)])
    return losses


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_mask_head_depth(depth):
    model = build("MODEL.CONDINST.MASK_HEAD.NUM_LAYERS", depth)
    assert model.mask_head.num_params == {1: 11, 2: 97, 4: 241}[depth]
    train_and_infer(model)


@pytest.mark.parametrize("width", [2, 16])
def test_mask_head_width(width):
    train_and_infer(build("MODEL.CONDINST.MASK_HEAD.CHANNELS", width))


@pytest.mark.parametrize("channels, num_params", [(0, 105), (1, 113), (16, 233)])
def test_bottom_channels(channels, num_params):
    model = build(
        "MODEL.CONDINST.MASK_BRANCH.OUT_CHANNELS",
        channels,
        "MODEL.CONDINST.MASK_BRANCH.IN_FEATURES",
        ["p2", "p3", "p4"],
        "MODEL.FPN.IN_FEATURES",
        ["res2", "res3", "res4"],
        "MODEL.RESNETS.OUT_FEATURES",
        ["res2", "res3", "res4"],
    )
    assert model.mask_head.num_params == num_params
    assert (model.mask_branch is None) == (channels == 0)
    train_and_infer(model)


@pytest.mark.parametrize("coordinates", ["relative", "absolute", "none"])
def test_coordinates(coordinates):
    train_and_infer(build("MODEL.CONDINST.MASK_HEAD.COORDINATES", coordinates))


@pytest.mark.parametrize("out_stride", [4, 2, 1])
def test_upsampling(out_stride):
    model = build("MODEL.CONDINST.MASK_OUT_STRIDE", out_stride)
    assert model.mask_head.upsampling == 4 // out_stride
    train_and_infer(model)


def test_semantic_loss_is_for_training_only():
    model = build("MODEL.CONDINST.MASK_BRANCH.SEMANTIC_LOSS_ON", True)
    losses = train_and_infer(model)
    assert losses["loss_semantic"] > 0
    assert "loss_semantic" not in build().train()([make_item(1)])


@pytest.mark.parametrize(
    "rule", [("MAX_PROPOSALS", 500), ("MAX_PROPOSALS", 3), ("TOPK_PROPOSALS_PER_IM", -1)]
)
def test_sampling_rules(rule):
    losses = train_and_infer(build(f"MODEL.CONDINST.{rule[0]}", rule[1]))
    assert losses["loss_mask"] > 0


def test_without_boxes():
    model = build("MODEL.FCOS.BOX_ON", False, "MODEL.CONDINST.NMS_TYPE", "matrix", *EVERYTHING)
    losses = train_and_infer(model)
    assert "loss_box" not in losses and model.head.box_predictor is None
    with torch.no_grad():
        result = model([make_item(2)])[0]["instances"]
    assert len(result) and result.pred_masks.shape[1:] == SIZE


@pytest.mark.parametrize(
    "options, message",
    [
        (("MODEL.FCOS.BOX_ON", False), "NMS_TYPE box needs boxes"),
        (("MODEL.CONDINST.MASK_OUT_STRIDE", 3), "must divide 4"),
        (("MODEL.CONDINST.SIZES_OF_INTEREST", [64]), "one entry per entry of MODEL.FCOS.FPN_STRIDES"),
        (("MODEL.FCOS.SIZES_OF_INTEREST", [64, 128]), "MODEL.FCOS.SIZES_OF_INTEREST needs one entry fewer"),
        (("MODEL.CONDINST.MASK_HEAD.COORDINATES", "polar"), "MASK_HEAD.COORDINATES must be one of"),
        (
            ("MODEL.CONDINST.MASK_HEAD.COORDINATES", "none", "MODEL.CONDINST.MASK_BRANCH.OUT_CHANNELS", 0),
            "MASK_HEAD.COORDINATES 'none' needs MODEL.CONDINST.MASK_BRANCH.OUT_CHANNELS of at least 1",
        ),
        (("MODEL.CONDINST.NMS_TYPE", "polygon"), "MODEL.CONDINST.NMS_TYPE must be one of"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(InputError, match=message):
        build(*options)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype):
    model = build(*EVERYTHING).train()
    if dtype == torch.bfloat16:
        with torch.autocast("cpu", dtype=dtype):
            losses = model([make_item(2), make_item(0)])
        assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
        sum(losses.values()).backward()
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        result = model.eval()([make_item(2)])[0]["instances"]
    assert 0 < len(result) <= 100 and result.scores.isfinite().all()


def run_rank(rank: int, address: str, queue) -> None:
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    torch.set_num_threads(1)
    model = build().train()
    alone = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    losses = alone([make_item(3 if rank == 0 else 0)])
    sum(losses.values()).backward()
    optimizer.step()
    total = sum(float(p.detach().double().sum()) for p in model.parameters())
    queue.put((rank, {name: float(loss) for name, loss in losses.items()}, total))
    dist.destroy_process_group()


def test_two_processes_one_without_instances():
    context = mp.get_context("spawn")
    queue = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(run_rank, args=(f"file://{folder}/store", queue), nprocs=2)
        results = sorted((queue.get() for _ in range(2)), key=lambda result: result[0])
    (_, full, weights), (_, empty, other_weights) = results
    assert weights == other_weights
    alone = {name: float(loss) for name, loss in build().train()([make_item(3)]).items()}
    # The counts are averages over both, so half of what one process alone divides by.
    for name in ("loss_category", "loss_box", "loss_centerness"):
        assert full[name] == pytest.approx(2 * alone[name], rel=1e-5)
    assert full["loss_mask"] == pytest.approx(alone["loss_mask"], rel=1e-5)
    assert empty["loss_category"] > 0
    assert empty["loss_box"] == empty["loss_centerness"] == empty["loss_mask"] == 0


UNREAD_LEVELS = (
    ("MODEL.CONDINST.MASK_BRANCH.OUT_CHANNELS", 0),
    ("MODEL.CONDINST.MASK_BRANCH.IN_FEATURES", ["p3", "p4", "p5"]),
    ("MODEL.CONDINST.MASK_BRANCH.OUT_CHANNELS", 0, "MODEL.CONDINST.MASK_BRANCH.SEMANTIC_LOSS_ON", True),
)


def run_steps(rank: int, address: str, queue) -> None:
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    torch.set_num_threads(1)
    for options in UNREAD_LEVELS:
        model = build(*options).train()
        ranks = DistributedDataParallel(model)
        for _ in range(2):  # a parameter without a gradient is an error of the next step
            sum(ranks([make_item(2 - rank)]).values()).backward()
        queue.put((rank, options, [name for name, p in model.named_parameters() if p.grad is None]))
    dist.destroy_process_group()


def test_two_processes_train_where_no_head_reads_a_level():
    assert all(set(build(*options).backbone.output_shape()) > {"p3"} for options in UNREAD_LEVELS)
    context = mp.get_context("spawn")
    queue = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(run_steps, args=(f"file://{folder}/store", queue), nprocs=2)
        results = [queue.get() for _ in range(2 * len(UNREAD_LEVELS))]
    assert all(without == [] for _, _, without in results), results


def test_withheld_masks_are_not_learned():
    model, item = build("MODEL.CONDINST.MAX_PROPOSALS", -1).train(), make_item(3)
    instances = item["instances"]
    instances.gt_has_mask = torch.tensor([True, False, True])
    losses = model([item])
    assert losses["loss_mask"] > 0
    # A hollow square has the same center: only its mask loss would differ.
    instances.gt_masks.tensor[1, 26:42, 56:72] = False
    torch.testing.assert_close(model([item])["loss_mask"], losses["loss_mask"])
    instances.gt_has_mask[:] = False
    nothing = model([item])
    assert nothing["loss_mask"] == 0
    for name in ("loss_category", "loss_box", "loss_centerness"):
        torch.testing.assert_close(nothing[name], losses[name])
    train_and_infer(model)
    with pytest.raises(InputError, match="SEMANTIC_LOSS_ON False"):
        build("MODEL.CONDINST.MASK_BRANCH.SEMANTIC_LOSS_ON", True).train()([item])
