"""A queue of keys as a buffer: a dictionary larger than the batch (He et al., "Momentum Contrast")."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solo_d2.structures import InputError

_SEED = 0  # of the keys a queue starts with: the same in every process


class KeyQueue(nn.Module):
    """The last ``size`` keys, oldest overwritten first; saved in checkpoints with the place of the next."""

    def __init__(self, size: int, dim: int):
        """
        Args:
            size: Keys it holds; it starts full of random ones.
            dim: Width of a key.
        """
        super().__init__()
        start = torch.randn(size, dim, generator=torch.Generator().manual_seed(_SEED))
        self.register_buffer("keys", F.normalize(start, dim=1))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Replaces the oldest keys, without a word to the host.

        Args:
            keys: (n, dim) float, n at most the queue's size; the same in every process.

        Raises:
            InputError: If they are more than the queue holds.
        """
        size = len(self.keys)
        if len(keys) > size:
            raise InputError(
                f"MODEL.DENSECL.QUEUE_SIZE {size} is smaller than a batch of {len(keys)}: raise it."
            )
        places = (self.cursor + torch.arange(len(keys), device=keys.device)) % size
        self.keys.index_copy_(0, places, keys.detach().to(self.keys.dtype))
        self.cursor.add_(len(keys)).remainder_(size)
