"""Contrastive loss against a queue of negatives, and the matching of cells of two views (DenseCL).

N: queries; K: negatives; D: width of a vector; B: images; M: cells of a view; C: feature channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Similarities held at a time: dense queries against a full queue would need gigabytes.
_MAX_SIMILARITIES = 1 << 22


def info_nce(queries: Tensor, positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Computes -log(exp(q.k/t) / (exp(q.k/t) + sum over negatives n of exp(q.n/t))) for each query.

    Gradients flow to the queries only. They are computed together with the loss, so the backward pass needs
    neither similarities nor negatives, and the negatives may be overwritten before it.

    Args:
        queries: (N, D) of length 1.
        positives: (N, D) of length 1, each query's key.
        negatives: (K, D) of length 1, the same for all queries.
        temperature: At least 0.02: exponents, up to 1 / temperature, are not shifted by their maximum.

    Returns:
        (N,) in the queries' type, at least float32.
    """
    dtype = torch.promote_types(queries.dtype, torch.float32)
    with torch.autocast(queries.device.type, enabled=False):
        return _InfoNCE.apply(queries.to(dtype), positives.to(dtype), negatives.to(dtype), temperature)


class _InfoNCE(torch.autograd.Function):
    """The loss of each query, and its gradient, from one pass over the negatives."""

    @staticmethod
    def forward(ctx, queries: Tensor, positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
        scaled = queries / temperature
        own = (scaled * positives).sum(1)
        total = own.exp()
        # The gradient is (softmax-weighted mean of all keys - positive) / temperature, so a running sum of
        # the keys, each weighted by its exponential, is all that it needs.
        pull = total[:, None] * positives
        for part in negatives.split(max(1, _MAX_SIMILARITIES // max(1, len(queries)))):
            weights = (scaled @ part.T).exp_()
            total += weights.sum(1)
            pull.addmm_(weights, part)
        ctx.save_for_backward((pull / total[:, None] - positives) / temperature)
        return total.log() - own

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        (of_queries,) = ctx.saved_tensors
        return gradient[:, None] * of_queries, None, None, None


@torch.no_grad()
def match_cells(queries: Tensor, keys: Tensor) -> Tensor:
    """Finds each cell's most similar cell in the other view, by the cosine of features (equation 5.4).

    Args:
        queries: (B, M, C) features of one view.
        keys: (B, M', C) features of the other.

    Returns:
        (B, M) int64 in [0, M').
    """
    return cosine_similarities(queries, keys).argmax(-1)


@torch.no_grad()
def mutual_matches(first: Tensor, second: Tensor, min_similarity: float = 0.9) -> tuple[Tensor, Tensor]:
    """Finds the pairs of cells that are each other's most similar one (section 5.3.4, figure 5.4).

    Args:
        first: (M, C) features of one view.
        second: (M', C) features of the other.
        min_similarity: Pairs with a smaller cosine are omitted.

    Returns:
        (P, 2) int64 pairs (cell of the first view, cell of the second), most similar first, and (P,) their
        cosines.
    """
    similarities = cosine_similarities(first[None], second[None])[0]
    best, forth = similarities.max(1)
    back = similarities.argmax(0)
    cells = torch.arange(len(first), device=first.device)
    kept = cells[(back[forth] == cells) & (best >= min_similarity)]
    kept = kept[best[kept].argsort(descending=True, stable=True)]
    return torch.stack([kept, forth[kept]], 1), best[kept]


def cosine_similarities(first: Tensor, second: Tensor) -> Tensor:
    """Returns the cosines between all cells of two views, (B, M, C) and (B, M', C): (B, M, M') float."""
    dtype = torch.promote_types(first.dtype, torch.float32)
    first, second = (F.normalize(x.to(dtype), dim=-1) for x in (first, second))
    with torch.autocast(first.device.type, enabled=False):  # half precision could change the maximum
        return first @ second.transpose(-2, -1)


def take_cells(cells: Tensor, index: Tensor) -> Tensor:
    """Gathers cells: (B, M', D) by (B, M) int64 -> (B, M, D)."""
    return cells.gather(1, index[..., None].expand(-1, -1, cells.shape[-1]))
