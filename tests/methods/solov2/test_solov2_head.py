"""SOLOv2's head: shapes, initial probability, what each branch sees."""

import torch

from solo_d2.methods.solov2.head import SOLOv2Head

GRIDS = [6, 5, 4, 3, 2]


def make_head(**kwargs):
    settings = {"in_channels": 32, "num_grids": GRIDS, "num_classes": 3, "channels": 32}
    return SOLOv2Head(**settings, num_convs=2, kernel_channels=16, **kwargs)


def features(height=64, width=96):
    return [torch.randn(2, 32, height >> i, width >> i) for i in range(5)]


def test_shapes_on_odd_sizes():
    categories, kernels = make_head()(features(70, 99))
    assert [tuple(x.shape) for x in categories] == [(2, 3, s, s) for s in GRIDS]
    assert [tuple(x.shape) for x in kernels] == [(2, 16, s, s) for s in GRIDS]


def test_embeddings_come_behind_the_logits_and_change_nothing_else():
    torch.manual_seed(0)
    head = make_head(num_embeddings=5)
    inputs = features()
    maps, kernels = head(inputs)
    assert [tuple(x.shape) for x in maps] == [(2, 3 + 5, s, s) for s in GRIDS]
    plain = make_head()
    plain.load_state_dict(head.state_dict(), strict=False)
    logits, same_kernels = plain(inputs)
    for with_embeddings, without in zip(maps, logits, strict=True):
        torch.testing.assert_close(with_embeddings[:, :3], without)
    assert all(torch.equal(a, b) for a, b in zip(kernels, same_kernels, strict=True))
    assert set(head.state_dict()) - set(plain.state_dict()) == {
        "embedding_predictor.weight",
        "embedding_predictor.bias",
    }


def test_initial_probability_is_the_prior():
    categories, _ = make_head(prior_prob=0.01)(features())
    assert all(abs(x.sigmoid().mean() - 0.01) < 1e-3 for x in categories)


def test_only_the_kernel_branch_sees_coordinates():
    head = make_head()
    constant = [torch.ones(1, 32, 64 >> i, 64 >> i) for i in range(5)]
    head.eval()
    with torch.no_grad():
        # Convolutions' zero padding also tells position; the center of a large grid is free of it.
        head.num_grids = [16] * 5
        categories, kernels = head(constant)
    assert categories[0][..., 6:10, 6:10].std(dim=(2, 3)).max() < 1e-6
    assert kernels[0][..., 6:10, 6:10].std(dim=(2, 3)).max() > 1e-6


def test_kernel_branch_without_coordinates():
    head = make_head(coordinates=False)
    assert head.kernel_tower[0].weight.shape[1] == 32
    assert [tuple(x.shape) for x in head(features())[1]] == [(2, 16, s, s) for s in GRIDS]
