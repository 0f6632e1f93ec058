"""DenseCL against its text in loops, MoCo-v2 as its special case, and its ways to start."""

import copy
import logging
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import solo_d2  # noqa: F401  (registers the models)
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from solo_d2.config import get_cfg
from solo_d2.engine.dataset_checks import meta_architecture
from solo_d2.methods.densecl.head import Projections
from solo_d2.utils.errors import InputError

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
SIDE = 64


def small_cfg(**keys):
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIGS / "quick" / "densecl_tiny.yaml"))
    node = cfg.MODEL.DENSECL
    node.HIDDEN_DIM, node.FEAT_DIM, node.QUEUE_SIZE, node.MOMENTUM = 16, 8, 12, 0.9
    for key, value in keys.items():
        node[key] = value
    return cfg


def make_model(**keys):
    torch.manual_seed(0)
    return build_model(small_cfg(**keys)).train()


def make_batch(seed, count=4, side=SIDE):
    generator = torch.Generator().manual_seed(seed)
    views = torch.randint(0, 256, (2, count, 3, side, side), dtype=torch.uint8, generator=generator)
    return [{"image": a, "key_image": b, "file_name": "x"} for a, b in zip(*views, strict=True)]


def optimizer_of(parameters):
    return torch.optim.SGD([p for p in parameters if p.requires_grad], lr=0.02, momentum=0.9)


def train(model, batches, start=0):
    """The losses of each step from iteration ``start`` on."""
    optimizer, history = optimizer_of(model.parameters()), []
    for iteration, batch in enumerate(batches, start):
        with EventStorage(iteration):
            losses = model(batch)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append({name: float(value) for name, value in losses.items()})
    return history


class MoCoV2:
    """MoCo-v2 written down directly, with weights and queue of a model of ours."""

    def __init__(self, model, temperature=0.2, momentum=0.9):
        self.query = copy.deepcopy(torch.nn.ModuleList([model.backbone.bottom_up, model.backbone.neck.whole]))
        self.key = copy.deepcopy(self.query)
        self.queue = model.queue.keys.clone()
        self.place, self.temperature, self.momentum = 0, temperature, momentum
        self.mean, self.std = model.pixel_mean, model.pixel_std

    def encode(self, modules, batch, name):
        images = torch.stack([(x[name].float() - self.mean) / self.std for x in batch])
        images = images.contiguous(memory_format=torch.channels_last)
        pooled = F.adaptive_avg_pool2d(modules[0](images)["res5"], 1).flatten(1)
        return F.normalize(modules[1](pooled), dim=1)

    def train(self, batches):
        optimizer, history = optimizer_of(self.query.parameters()), []
        for batch in batches:
            q = self.encode(self.query, batch, "image")
            with torch.no_grad():
                for k, live in zip(self.key.parameters(), self.query.parameters(), strict=True):
                    k.mul_(self.momentum).add_(live, alpha=1 - self.momentum)
                keys = self.encode(self.key, batch, "key_image")
            logits = torch.cat([(q * keys).sum(1, keepdim=True), q @ self.queue.clone().T], dim=1)
            loss = F.cross_entropy(logits / self.temperature, torch.zeros(len(q), dtype=torch.int64))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            for key in keys:
                self.queue[self.place % len(self.queue)] = key
                self.place += 1
            history.append(float(loss))
        return history


def test_lambda_0_is_moco_v2():
    model = make_model(LAMBDA=0.0).double()  # rounding grows from step to step
    assert model.dense_queue is None and model.backbone.neck.dense is None
    reference = MoCoV2(model)
    batches = [make_batch(seed) for seed in range(4)]  # 16 keys: the queue of 12 wraps around
    ours, expected = train(model, batches), reference.train(batches)
    assert [set(step) for step in ours] == [{"loss_global"}] * 4
    assert [step["loss_global"] for step in ours] == pytest.approx(expected, rel=1e-9)
    torch.testing.assert_close(model.queue.keys, reference.queue, rtol=1e-7, atol=1e-9)
    query = [*model.backbone.bottom_up.parameters(), *model.backbone.neck.whole.parameters()]
    for one, other in zip(query, reference.query.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


def test_warm_up_trains_the_backbone_as_moco_v2():
    plain, warming = make_model(LAMBDA=0.0), make_model(LAMBDA=1.0, LAMBDA_WARMUP_ITERS=2)
    batches = [make_batch(seed) for seed in range(3)]
    expected, ours = train(plain, batches[:2]), train(warming, batches[:2])
    for one, other in zip(ours, expected, strict=True):
        assert one["loss_global"] == pytest.approx(other["loss_global"], rel=1e-5)
        assert one["loss_dense"] == 0
    assert torch.count_nonzero(warming.dense_queue.cursor)  # its dictionary fills meanwhile
    (after,) = train(warming, batches[2:], start=2)
    assert after["loss_global"] == 0 and after["loss_dense"] > 0


def losses_by_loops(model, q, k):
    """Equations 5.1 to 5.4 for one image and one cell at a time."""

    def entropy(query, positive, negatives):
        logits = torch.stack([query @ positive, *(query @ n for n in negatives)]) / model.temperature
        return -logits.log_softmax(0)[0]

    globally, densely = [], []
    for b in range(len(q.whole)):
        globally.append(entropy(q.whole[b], k.whole[b], model.queue.keys))
        for s in range(q.cells.shape[1]):
            cosines = [F.cosine_similarity(q.features[b, s], f, dim=0) for f in k.features[b]]
            match = int(torch.stack(cosines).argmax())
            densely.append(entropy(q.cells[b, s], k.cells[b, match], model.dense_queue.keys))
    weight = model.dense_weight
    return (1 - weight) * torch.stack(globally).mean(), weight * torch.stack(densely).mean()


def test_losses_equal_loops():
    model = make_model(LAMBDA=0.3).double()
    generator = torch.Generator().manual_seed(0)

    def projections():
        def unit(*shape):
            return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)

        return Projections(unit(2, 8), 3 * unit(2, 4, 10), unit(2, 4, 8), unit(2, 8))

    q, k = projections(), projections()
    q.whole.requires_grad_()
    q.cells.requires_grad_()
    results = []
    for globally, densely in (tuple(model.losses(q, k).values()), losses_by_loops(model, q, k)):
        gradients = torch.autograd.grad(globally + densely, [q.whole, q.cells])
        results.append((globally.detach(), densely.detach(), *gradients))
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-6, atol=1e-6)


def test_queues_hold_this_steps_keys():
    model = make_model()
    batch = make_batch(0)
    key_encoder = copy.deepcopy(model.key_encoder)
    model(batch)
    keys = key_encoder(model.normalize(torch.stack([x["key_image"] for x in batch])), with_mean=True)
    torch.testing.assert_close(model.queue.keys[:4], keys.whole)
    torch.testing.assert_close(model.dense_queue.keys[:4], keys.mean)


def test_every_parameter_of_the_query_encoder_learns():
    model = make_model()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model(make_batch(0))
    assert set(losses) == {"loss_global", "loss_dense"}
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (not name.startswith("key_encoder."))
        if parameter.requires_grad:
            assert parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0, name


def test_resumed_model_goes_on_exactly():
    batches = [make_batch(seed) for seed in range(4)]
    whole = make_model(LAMBDA_WARMUP_ITERS=3)
    for batch in batches[:2]:
        whole(batch)
    resumed = make_model(LAMBDA_WARMUP_ITERS=3)
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    for iteration, batch in enumerate(batches[2:], start=2):
        with EventStorage(iteration):
            expected, ours = whole(batch), resumed(batch)
        assert all(torch.equal(expected[name], ours[name]) for name in expected)
        assert (ours["loss_dense"] > 0) == (iteration == 3), "the fourth step is behind the warm-up"


def test_files_that_count_the_steps_load():
    weights = make_model().state_dict()
    assert "num_steps" not in weights
    make_model().load_state_dict({**weights, "num_steps": torch.tensor(7)})


def test_weights_without_a_key_encoder_start_one():
    model, other = make_model(), make_model()
    with torch.no_grad():
        for p in other.backbone.parameters():
            p.add_(1)
    weights = {f"backbone.{name}": value for name, value in other.backbone.state_dict().items()}
    incompatible = model.load_state_dict(weights, strict=False)
    assert not [name for name in incompatible.missing_keys if name.startswith("key_encoder.")]
    for name, value in other.backbone.state_dict().items():
        assert torch.equal(model.key_encoder.state_dict()[name.replace(".", "/")], value)


def test_measuring_statistics_leaves_queues_alone():
    model = make_model()
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        model(make_batch(0))
    for name, value in model.state_dict().items():
        if "running_" not in name and not name.endswith("num_batches_tracked"):
            assert torch.equal(value, before[name]), name


def test_embeddings_of_images_of_any_size():
    model = make_model().eval()
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in ((64, 80), (33, 47))]
    with torch.no_grad():
        outputs = model([{"image": image} for image in images])
    assert [tuple(x["embedding"].shape) for x in outputs] == [(512,)] * 2
    assert all(float(x["embedding"].norm()) == pytest.approx(1, abs=1e-5) for x in outputs)


def test_mistakes():
    for key, value, message in (
        ("LAMBDA", 1.5, "LAMBDA must be within 0 and 1"),
        ("TEMPERATURE", 0.001, "TEMPERATURE must be at least"),
        ("MOMENTUM", 1.5, "MOMENTUM must be within 0 and 1"),
        ("QUEUE_SIZE", -1, "QUEUE_SIZE must be at least 1"),
        ("GRID_SIZE", -1, "MODEL.DENSECL.GRID_SIZE must be at least 0"),
        ("IN_FEATURE", "res4", "is not one of the backbone's outputs res5"),
    ):
        with pytest.raises(InputError, match=message):
            make_model(**{key: value})
    with pytest.raises(InputError, match="MODEL.DENSECL.QUEUE_SIZE 2 is smaller"):
        make_model(QUEUE_SIZE=2)(make_batch(0))
    with pytest.raises(InputError, match="MODEL.DENSECL.GRID_SIZE 5 asks for more cells"):
        make_model(GRID_SIZE=5)(make_batch(0))


def test_lambda_1_from_nothing_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING, logger="solo_d2"):
        make_model(LAMBDA=1.0, LAMBDA_WARMUP_ITERS=1)
        assert not caplog.records
        make_model(LAMBDA=1.0)
    assert "may not learn to match cells" in caplog.text


@pytest.mark.parametrize("name", ["DenseCL/densecl_R50_coco", "DenseCL/mocov2_R50_coco"])
def test_full_size_configs_build_and_step(name):
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIGS / f"{name}.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.DENSECL.QUEUE_SIZE = 8
    cfg.MODEL.DENSECL.GRID_SIZE = 2
    assert meta_architecture(cfg).train_mapper == "two_views"
    model = build_model(cfg)
    losses = model(make_batch(0, count=2))
    assert all(loss.isfinite() for loss in losses.values())
