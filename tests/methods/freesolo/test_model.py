"""FreeSOLO: its losses and their switches, embeddings in and out, and what it shares with SOLOv2."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from solo_d2.config import get_cfg
from solo_d2.methods.freesolo.losses import average_projection_loss, embedding_loss, max_projection_loss
from solo_d2.methods.freesolo.model import FreeSOLO
from solo_d2.methods.freesolo.targets import find_similar_pairs
from solo_d2.methods.solov2.model import SOLOv2
from solo_d2.utils.errors import InputError

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "quick" / "freesolo_tiny.yaml"
SIZE = (48, 64)
MASK_LOSSES = ("loss_mask_max_projection", "loss_mask_average_projection", "loss_mask_pairwise")


def make_cfg(*options):
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIG))
    cfg.MODEL.SOLOV2.NUM_GRIDS = [6, 5, 3]
    cfg.MODEL.FREESOLO.NUM_EMBEDDINGS = 8
    cfg.merge_from_list([x if i % 2 else f"MODEL.{x}" for i, x in enumerate(options)])
    return cfg


def build(*options) -> FreeSOLO:
    torch.manual_seed(0)
    return build_model(make_cfg(*options))


def make_batch(counts=(2, 1), embeddings=8):
    generator = torch.Generator().manual_seed(0)
    batch = []
    for count in counts:
        instances = Instances(SIZE)
        masks = torch.zeros(count, *SIZE, dtype=torch.bool)
        boxes = torch.zeros(count, 4)
        for i in range(count):
            masks[i, 5 + 9 * i : 30 + 9 * i, 8 : 28 + 14 * i] = True
            boxes[i] = torch.tensor([8, 5 + 9 * i, 28 + 14 * i, 30 + 9 * i])
        instances.gt_boxes, instances.gt_masks = Boxes(boxes), BitMasks(masks)
        instances.gt_classes = torch.zeros(count, dtype=torch.int64)
        if embeddings:
            instances.gt_embeddings = torch.randn(count, embeddings, generator=generator)
        image = torch.randint(0, 256, (3, 3, 4), generator=generator).repeat_interleave(16, 1)
        batch.append({"image": image.repeat_interleave(16, 2).byte(), "instances": instances, "height": 96})
    return batch


def test_losses_are_the_parts_on_solov2s_targets():
    model, batch = build("FREESOLO.PAIRWISE_WARMUP_ITERS", 4).train(), make_batch()
    features = model.backbone(model.preprocess(batch).tensor)
    losses = model.losses(features, batch)
    assert set(losses) == {"loss_category", "loss_embedding", *MASK_LOSSES}
    assert all(loss > 0 for loss in losses.values())

    _, masks = model.predict(features)
    targets = model.assign_targets([x["instances"] for x in batch], masks.size, masks.strides)
    (prediction,) = masks.positives(targets)
    soft, wanted = prediction.logits[0].sigmoid(), prediction.targets
    assert torch.allclose(losses["loss_mask_max_projection"], max_projection_loss(soft, wanted).mean())
    average = 0.1 * average_projection_loss(soft, wanted).mean()
    assert torch.allclose(losses["loss_mask_average_projection"], average)
    predicted = masks.cell_values["pred_embeddings"].flatten(0, 1)[targets.positive_cell]
    known = torch.cat([x["instances"].gt_embeddings for x in batch])[targets.positive_instance]
    assert torch.allclose(losses["loss_embedding"], 4 * embedding_loss(predicted, known))


def test_shares_everything_else_with_solov2():
    """The same weights in SOLOv2 give the same category loss, masks, boxes and scores."""
    model, batch = build(), make_batch()
    plain = build_model(make_cfg("META_ARCHITECTURE", "SOLOv2"))
    left_over = plain.load_state_dict(model.state_dict(), strict=False)
    assert left_over.missing_keys == []
    assert set(left_over.unexpected_keys) == {
        "head.embedding_predictor.weight",
        "head.embedding_predictor.bias",
    }
    assert torch.equal(model.train()(batch)["loss_category"], plain.train()(batch)["loss_category"])
    for one in (model, plain):
        one.eval()
        one.postprocess = replace(one.postprocess, score_thr=0.005, update_thr=0.0)
    with torch.no_grad():
        results, expected = model(batch), plain(batch)
    for result, wanted in zip(results, expected, strict=True):
        result, wanted = result["instances"], wanted["instances"]
        assert len(result) > 0 and result.pred_embeddings.shape == (len(result), 8)
        assert torch.equal(result.scores, wanted.scores)
        assert torch.equal(result.pred_masks, wanted.pred_masks)
        assert torch.equal(result.pred_boxes.tensor, wanted.pred_boxes.tensor)
    assert isinstance(model, SOLOv2)


@pytest.mark.parametrize(
    "key, name",
    [
        ("MAX_PROJECTION_WEIGHT", "loss_mask_max_projection"),
        ("AVERAGE_PROJECTION_WEIGHT", "loss_mask_average_projection"),
        ("PAIRWISE_WEIGHT", "loss_mask_pairwise"),
    ],
)
def test_mask_losses_can_be_switched_off(key, name):
    losses = build(f"FREESOLO.{key}", 0.0).train()(make_batch())
    assert set(losses) == {"loss_category", "loss_embedding", *MASK_LOSSES} - {name}


def test_full_supervision_and_no_embedding_loss():
    off = [
        x
        for key in ("MAX_PROJECTION", "AVERAGE_PROJECTION", "PAIRWISE")
        for x in (f"FREESOLO.{key}_WEIGHT", 0.0)
    ]
    model = build(*off, "FREESOLO.FULL_MASK_LOSS", True, "FREESOLO.EMBEDDING_WEIGHT", 0.0).train()
    losses = model(make_batch())
    assert set(losses) == {"loss_category", "loss_mask", "loss_embedding"} and losses["loss_mask"] > 0
    assert losses["loss_embedding"] == 0
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters()), "distributed training waits for all"
    with pytest.raises(InputError, match="all mask losses have weight 0"):
        build(*off)


def test_without_the_embedding_loss_embeddings_are_not_read():
    model = build("FREESOLO.EMBEDDING_WEIGHT", 0.0).train()
    losses = model(make_batch(embeddings=5))  # not the model's 8
    assert losses["loss_embedding"] == 0 and losses["loss_embedding"].shape == ()
    losses["loss_embedding"].backward()
    branch = model.head.embedding_predictor
    assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in branch.parameters())


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.5, float("nan")])
def test_impossible_similarity_of_colors_is_one_line(threshold):
    with pytest.raises(InputError, match="^MODEL.FREESOLO.PAIRWISE_COLOR_THR must be above 0") as caught:
        build("FREESOLO.PAIRWISE_COLOR_THR", threshold)
    assert "\n" not in str(caught.value)


def test_separate_mask_features_are_refused():
    with pytest.raises(InputError, match="'unified'"):
        build("SOLOV2.MASK_FEATURE", "separate")


def test_pairwise_loss_warms_up_with_the_trainings_iterations():
    model = build("FREESOLO.PAIRWISE_WARMUP_ITERS", 4).train()
    batch = make_batch()
    full = model(batch)["loss_mask_pairwise"]
    for iteration, factor in ((0, 0.25), (2, 0.75), (3, 1), (9, 1)):
        with EventStorage(iteration):  # as the trainer opens it, also when it resumes
            assert torch.allclose(model(batch)["loss_mask_pairwise"], factor * full)
    with EventStorage(0):
        assert build("FREESOLO.PAIRWISE_WARMUP_ITERS", 0)._warmup() == 1


def test_embeddings_may_be_missing_but_not_of_another_length():
    model = build().train()
    batch = make_batch()
    del batch[0]["instances"]._fields["gt_embeddings"]
    batch[1]["instances"].gt_embeddings[:] = 0
    losses = model(batch)
    assert losses["loss_embedding"] == 0 and losses["loss_mask_max_projection"] > 0
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters())
    with pytest.raises(InputError, match="have 5 numbers, the model's 8"):
        model(make_batch(embeddings=5))


@pytest.mark.parametrize("counts", [(0, 0), (0, 2)])
def test_images_without_instances(counts):
    model = build().train()
    losses = model(make_batch(counts))
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert (losses["loss_mask_pairwise"] > 0) == (sum(counts) > 0)


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_pairs_are_those_of_the_pixels_without_padding_and_lowest_rows(order):
    model = build("FREESOLO.BOTTOM_PIXELS_REMOVED", 10)
    model.similar_pairs = replace(model.similar_pairs, format=order)
    batch = make_batch()
    batch[1]["image"] = batch[1]["image"][:, :40, :50]
    with torch.no_grad():
        _, masks = model.predict(model.backbone(model.preprocess(batch).tensor))
    found = model._find_pairs(batch, masks)
    padded = torch.zeros(2, 3, 64, 64)
    for canvas, x in zip(padded, batch, strict=True):
        image = x["image"] if order == "RGB" else x["image"].flip(0)
        canvas[:, : image.shape[1], : image.shape[2]] = image
    # Ten rows of originals that are 96 high are 5 of 48, and 4 of 40.
    expected = find_similar_pairs(padded, [48 - 5, 40 - 4], [64, 50], stride=4, dilation=2, threshold=0.3)
    assert torch.equal(found, expected) and found.any() and not found.all()


def test_pairs_see_the_images_as_they_came_in():
    """Statistics that would lose every bit of a color on the way there and back change no pair."""
    batch = make_batch()
    pairs = []
    for mean in ([1e9] * 3, [0.0] * 3):
        model = build("PIXEL_MEAN", mean)
        pairs.append(model._find_pairs(batch, model.predict(model.backbone(torch.zeros(2, 3, 64, 64)))[1]))
    assert torch.equal(*pairs) and pairs[0].any()


def test_bfloat16_autocast():
    model, batch = build().train(), make_batch()
    full = model(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model(batch)
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, full[name], rtol=0.05, atol=0.01)
