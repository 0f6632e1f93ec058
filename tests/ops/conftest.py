import pytest
import torch


@pytest.fixture
def random_case():
    """Builds (masks bool, labels, scores) with identical and empty masks among them."""

    def build(n, size=(13, 17), num_labels=2, seed=0):
        generator = torch.Generator().manual_seed(seed)
        masks = torch.rand(n, *size, generator=generator) < torch.rand(n, 1, 1, generator=generator)
        if n > 4:
            masks[2] = masks[1]
            masks[3] = masks[1]
            masks[4] = False
        labels = torch.randint(num_labels, (n,), generator=generator)
        labels[1:4] = 0
        scores = torch.rand(n, generator=generator).sort(descending=True).values
        return masks, labels, scores

    return build
