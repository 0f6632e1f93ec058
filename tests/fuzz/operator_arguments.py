"""Arguments of operators, drawn by chance, and which of them must be refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from hypothesis import strategies as st
from torch import Tensor

NAN, INF = float("nan"), float("inf")
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
BYTES = (torch.bool, torch.uint8)
_OTHERS = (torch.int32, torch.int8, torch.complex64)


@dataclass
class Case:
    """Draws arguments, and collects the names of those that must be refused."""

    data: st.DataObject
    wrong: list[str] = field(default_factory=list)
    meta: bool = False

    def choose(self, *options):
        return self.data.draw(st.sampled_from(options))

    def chance(self, one_in: int) -> bool:
        return self.data.draw(st.integers(1, one_in)) == 1

    def value(self, name: str, good: Sequence, bad: Sequence):
        """Draws from the good values or, one time in sixteen, from the bad ones."""
        if not self.chance(16):
            return self.choose(*good)
        self.wrong.append(name)
        return self.choose(*bad)

    def random(self, *shape: int) -> Tensor:
        return torch.rand(
            shape, generator=torch.Generator().manual_seed(self.data.draw(st.integers(0, 10**6)))
        )

    def masks(self, name: str, dtypes: Sequence[torch.dtype]) -> Tensor:
        """Draws (N, H, W) masks of any layout and of one of the dtypes."""
        shape = [self.choose(0, 1, 2, 3, 5, 9), self.choose(0, 1, 3, 7), self.choose(0, 1, 2, 9, 65)]
        if self.chance(12):  # more than a block of pairs, or than a half-precision buffer
            shape = list(self.choose((40, 2, 9), (2, 66, 70)))
        if self.chance(16):
            self.wrong.append(name)
            shape = self.choose(shape[:2], shape[1:2], [1, *shape], [])
        dtype = self.value(name, dtypes, _OTHERS if torch.float32 in dtypes else (*_OTHERS, torch.float32))
        return self._layout(self._values(shape, dtype), name)

    def _values(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        values = self.random(*shape) * self.choose(1, 1, 2, 0, -3) + self.choose(0, 0, -1, 0.6)
        if not dtype.is_floating_point:
            return ((values > 0.5) * (1 if dtype == torch.bool else self.choose(1, 255, 100))).to(dtype)
        if self.chance(4) and values.numel():
            flat = values.flatten()
            for place in self.data.draw(st.lists(st.integers(0, values.numel() - 1), max_size=4)):
                flat[place] = self.choose(NAN, INF, -INF, 3e38, -3e38, 1e-40)
            values = flat.view(values.shape)
        if values.dim() and len(values) > 2 and self.chance(3):
            values[-1] = values[0]
        return values.to(dtype)

    def _layout(self, masks: Tensor, name: str) -> Tensor:
        kind = self.choose("plain", "plain", "transposed", "sliced", "expanded", "gradient", "sparse")
        if kind == "transposed" and masks.dim() > 1:
            return masks.transpose(-1, -2).contiguous().transpose(-1, -2)
        if kind == "sliced" and masks.dim():
            return torch.stack([masks, masks], -1)[..., 1]
        if kind == "expanded" and masks.dim() and len(masks):
            return masks[:1].expand_as(masks)
        if kind == "gradient" and masks.is_floating_point():
            return masks.requires_grad_()
        if kind == "sparse" and self.chance(3):
            self.wrong.append(name)
            return masks.to_sparse()
        return masks

    def dense_or_bits(self) -> Tensor:
        if not self.chance(3):
            return self.masks("masks", BYTES + FLOATS)
        bits = self.random(self.choose(0, 1, 2, 3, 5), self.choose(0, 1, 2)).double().view(torch.int64)
        return bits * self.choose(1, 3, -7)

    def labels(self, count: int) -> Tensor | None:
        if self.chance(5):
            return None
        low, high = self.choose((0, 2), (-1, 1), (-(2**63), 2**63 - 1), (2**62, 2**62 + 2))
        labels = self.random(count) < 0.5
        labels = torch.where(labels, torch.tensor(low), torch.tensor(high))
        if -(2**31) <= low and high < 2**31 and self.chance(3):
            labels = labels.int()
        bad = [
            labels[1:],
            torch.cat([labels, labels, labels[:0].new_zeros(1)]),
            labels[:, None],
            labels.float(),
        ]
        bad += [labels.bool(), labels.to_sparse(), labels.to(torch.int16), torch.tensor(0)]
        if not count:
            bad = bad[1:]
        return self.value("labels", [labels, labels.flip(0), labels[:1].expand(count)], bad)

    def scores(self, count: int) -> Tensor:
        scores = self.random(count).sort(descending=True).values.to(self.choose(*FLOATS))
        if count and self.chance(6):
            scores[self.data.draw(st.integers(0, count - 1))] = self.choose(NAN, INF, -INF, -1.0)
        bad = [
            torch.cat([scores, scores, scores[:0].new_zeros(1)]),
            scores[None],
            scores.int(),
            scores.to_sparse(),
        ]
        good = [scores, torch.stack([scores, scores], 1)[:, 0], scores.clone().requires_grad_()]
        return self.value("scores", good, bad)

    def threshold(self) -> float:
        return self.value("threshold", [0.5, 0.5, 0.0, -1.0, INF, -INF, 1e300, 1e-45], [NAN])

    def sigma(self) -> float:
        return self.value("sigma", [2.0, 0.0, 0.5, 1e308, 1e-320], [NAN, INF, -INF, -1.0])
