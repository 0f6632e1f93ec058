"""InfoNCE and the matching of cells against loops over queries, keys and cells."""

import math

import pytest
import torch
import torch.nn.functional as F

import solo_d2.methods.densecl.losses as contrastive
from solo_d2.methods.densecl.losses import info_nce, match_cells, mutual_matches, take_cells

TEMPERATURE = 0.2


def unit_vectors(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1).to(dtype)


def info_nce_by_loops(queries, positives, negatives, temperature):
    """Equation 5.1, one query and one negative at a time, in float64."""
    losses = []
    for query, positive in zip(queries, positives, strict=True):
        own = torch.exp(query @ positive / temperature)
        total = own
        for negative in negatives:
            total = total + torch.exp(query @ negative / temperature)
        losses.append(-torch.log(own / total))
    return torch.stack(losses)


@pytest.mark.parametrize("temperature", [TEMPERATURE, 0.02, 1.0])
@pytest.mark.parametrize("held", [1 << 22, 5])
def test_value_and_gradient_equal_loops(monkeypatch, temperature, held):
    monkeypatch.setattr(contrastive, "_MAX_SIMILARITIES", held)  # 5: one negative at a time
    queries, positives, negatives = (
        unit_vectors(7, 16),
        unit_vectors(7, 16, seed=1),
        unit_vectors(23, 16, seed=2),
    )
    weights = torch.linspace(0.5, 2, 7, dtype=torch.float64)
    results = []
    for function in (info_nce, info_nce_by_loops):
        leaf = queries.clone().requires_grad_()
        loss = function(leaf, positives, negatives, temperature)
        (weights * loss).sum().backward()
        results.append((loss.detach(), leaf.grad))
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-6, atol=1e-6)


def test_dense_loss_is_the_mean_over_cells():
    """Equation 5.2: every cell against its own positive and the common negatives."""
    cells, keys, negatives = unit_vectors(2, 9, 8), unit_vectors(2, 9, 8, seed=1), unit_vectors(5, 8, seed=2)
    index = match_cells(cells, keys)
    per_image = [
        info_nce_by_loops(
            cells[b], torch.stack([keys[b, index[b, s]] for s in range(9)]), negatives, 0.2
        ).mean()
        for b in range(2)
    ]
    ours = info_nce(cells.flatten(0, 1), take_cells(keys, index).flatten(0, 1), negatives, 0.2).mean()
    torch.testing.assert_close(ours, torch.stack(per_image).mean(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precisions_are_computed_in_float32(dtype):
    queries, keys, negatives = (unit_vectors(4, 32, seed=i, dtype=dtype) for i in range(3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = info_nce(queries.requires_grad_(), keys, negatives, TEMPERATURE)
    assert loss.dtype == torch.float32
    loss.sum().backward()
    assert queries.grad.dtype == dtype
    exact = info_nce_by_loops(queries.detach().double(), keys.double(), negatives.double(), TEMPERATURE)
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=1e-5)


def test_negatives_may_be_overwritten_before_the_backward_pass():
    queries, keys, negatives = unit_vectors(3, 8), unit_vectors(3, 8, seed=1), unit_vectors(6, 8, seed=2)
    gradients = []
    for overwrite in (False, True):
        leaf = queries.clone().requires_grad_()
        negatives_now = negatives.clone()
        loss = info_nce(leaf, keys, negatives_now, TEMPERATURE).sum()
        if overwrite:
            negatives_now.zero_()
        loss.backward()
        gradients.append(leaf.grad)
    assert torch.equal(*gradients)


def test_no_negative_and_no_query():
    queries, keys = unit_vectors(3, 8).requires_grad_(), unit_vectors(3, 8, seed=1)
    loss = info_nce(queries, keys, torch.zeros(0, 8), TEMPERATURE)
    loss.sum().backward()
    assert loss.detach().abs().max() < 1e-12 and queries.grad.abs().max() < 1e-12
    assert info_nce(queries[:0], keys[:0], keys, TEMPERATURE).shape == (0,)


def test_known_value():
    """The positive and one negative at the same angle are chosen with equal probability."""
    vector = torch.tensor([[1.0, 0.0]])
    assert info_nce(vector, vector, vector, TEMPERATURE).item() == pytest.approx(math.log(2))


def match_by_loops(first, second):
    """Equation 5.4, one pair of cells at a time."""
    result = []
    for f in first:
        cosines = [float(f @ g / (f.norm() * g.norm())) for g in second]
        result.append(cosines.index(max(cosines)))
    return result


def test_matching_equals_loops():
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(3, m, 6, generator=generator) for m in (4, 9))
    second[:, 2] *= 100  # only directions count
    index = match_cells(first, second)
    assert index.dtype == torch.int64
    assert index.tolist() == [match_by_loops(f, s) for f, s in zip(first, second, strict=True)]
    picked = take_cells(second, index)
    assert all(torch.equal(picked[b, i], second[b, index[b, i]]) for b in range(3) for i in range(4))


def test_matching_ignores_order_of_memory_and_autocast():
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn(2, 32, 5, 5, generator=generator).contiguous(memory_format=torch.channels_last)
    cells = feature.flatten(2).transpose(1, 2)
    shuffled = torch.randperm(25, generator=generator)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        index = match_cells(cells, cells[:, shuffled])
    assert torch.equal(index, shuffled.argsort().expand(2, -1))


def test_mutual_matches():
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])
    second = torch.tensor([[0.0, 2.0], [1.0, 0.05]])
    # Cell 2 is most like the second view's cell 1, which prefers cell 0.
    pairs, cosines = mutual_matches(first, second, 0.9)
    assert pairs.tolist() == [[1, 0], [0, 1]]
    assert cosines.tolist() == pytest.approx([1.0, 1 / math.hypot(1, 0.05)])
    assert mutual_matches(first, second, 0.9999)[0].tolist() == [[1, 0]]
    assert mutual_matches(first, -second.abs(), 0.9)[0].shape == (0, 2)
