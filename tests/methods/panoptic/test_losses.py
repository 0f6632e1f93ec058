import pytest
import torch

from solo_d2.methods.panoptic.losses import semantic_cross_entropy


def test_equals_a_loop_over_labelled_pixels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 3, 5, generator=generator)
    labels = torch.randint(0, 4, (2, 3, 5), generator=generator)
    labels[0, :2] = 255
    losses = []
    for b in range(2):
        for y in range(3):
            for x in range(5):
                if labels[b, y, x] != 255:
                    losses.append(-logits[b, :, y, x].log_softmax(0)[labels[b, y, x]])
    torch.testing.assert_close(semantic_cross_entropy(logits, labels, 255), torch.stack(losses).mean())
    assert torch.allclose(
        semantic_cross_entropy(logits, labels, 255),
        torch.nn.functional.cross_entropy(logits, labels, ignore_index=255),
    )


@pytest.mark.parametrize("ignore_value", [255, 99])
def test_nothing_labelled_is_zero_with_a_gradient(ignore_value):
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = semantic_cross_entropy(logits, torch.full((1, 4, 4), ignore_value), ignore_value)
    loss.backward()
    assert loss == 0 and not logits.grad.any()
