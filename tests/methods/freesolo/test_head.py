"""FreeSOLO's head: SOLOv2's, and embeddings that change nothing else."""

import torch

from solo_d2.config import get_cfg
from solo_d2.methods.freesolo.head import FreeSOLOHead
from solo_d2.methods.solov2.head import SOLOv2Head
from solo_d2.utils.settings import build

GRIDS = [6, 5, 4, 3, 2]


def test_embeddings_come_beside_the_logits_and_change_nothing_else():
    torch.manual_seed(0)
    settings = {"in_channels": 32, "num_grids": GRIDS, "num_classes": 3, "instance_channels": 32}
    settings |= {"num_instance_convs": 2, "num_masks": 16}
    head = build(FreeSOLOHead, get_cfg(), "MODEL.SOLOV2", num_embeddings=5, **settings)
    inputs = [torch.randn(2, 32, 64 >> i, 96 >> i) for i in range(5)]
    cells, kernels = head(inputs)
    assert [tuple(x.shape) for _, x in cells] == [(2, 5, s, s) for s in GRIDS]
    plain = build(SOLOv2Head, get_cfg(), "MODEL.SOLOV2", **settings)
    plain.load_state_dict(head.state_dict(), strict=False)
    logits, same_kernels = plain(inputs)
    assert all(torch.equal(a, b) for (a, _), b in zip(cells, logits, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(kernels, same_kernels, strict=True))
    assert set(head.state_dict()) - set(plain.state_dict()) == {
        "embedding_predictor.weight",
        "embedding_predictor.bias",
    }
