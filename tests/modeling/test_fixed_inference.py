"""Parts of inference of fixed shapes, against the operators of variable shapes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_util

from solo_d2.modeling.fixed_inference import FixedInference, FixedMatrixNMS, blank, pick
from solo_d2.ops import matrix_nms
from solo_d2.utils.errors import InputError


class Brightness(FixedInference):
    """Candidates are the pixels of each channel; a channel is a class."""

    default_candidates = 4
    limit_key = "LIMIT"

    def __init__(self, num_candidates=0, **kwargs):
        model = torch.nn.Module()
        model.backbone, model.normalize = torch.nn.Identity(), lambda images: images / 255
        settings = {"limit": 6, "num_results": 3, "mask_stride": 2, "mask_threshold": 0.5, "nms": None}
        super().__init__(model, num_candidates, **{"masks": "soft", **settings, **kwargs})

    def predict(self, features, sizes):
        scores = features.flatten(2).transpose(1, 2)
        best, place, classes = self.top_candidates(scores, scores > 0.1)
        masks = features[:, :1].expand(-1, best.shape[1], -1, -1)
        return self.results(best, best >= 0, classes=classes, place=place, masks=masks)


def test_the_best_candidates_become_results():
    images = torch.zeros(2, 3, 2, 4)
    images[0, 1, 0, 2], images[0, 2, 1, 1], images[0, 0, 0, 0] = 255, 51, 20
    found = Brightness()(images)
    assert found["count"].tolist() == [2, 0]
    torch.testing.assert_close(found["scores"], torch.tensor([[1, 0.2, 0], [0, 0, 0]]))
    assert found["classes"].tolist() == [[1, 2, 0], [0, 0, 0]]
    assert found["place"].tolist() == [[2, 5, 0], [0, 0, 0]]
    assert found["masks"].shape == (2, 3, 2, 4) and not found["masks"][1].any()


def test_images_smaller_than_the_number_of_candidates():
    found = Brightness(6)(torch.full((1, 3, 1, 1), 255.0))
    assert found["count"].tolist() == [3] and found["classes"].sort().values.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("aligned", [False, True])
def test_full_masks_have_the_images_size(aligned):
    fixed = Brightness(masks="full")
    fixed.aligned = aligned
    found = fixed(torch.full((1, 3, 4, 6), 255.0))
    assert (
        found["masks"].shape == (1, 3, 8, 12) and found["masks"].dtype == torch.bool and found["masks"].all()
    )


def test_packed_columns_are_what_coco_encodes():
    images = (torch.rand(2, 3, 4, 6) * 255).round()
    full, packed = (Brightness(masks=form)(images)["masks"] for form in ("full", "rle-ready"))
    assert packed.shape == (2, 3, 12, 1) and packed.dtype == torch.uint8
    for mask, columns in zip(full.flatten(0, 1), packed.flatten(0, 1), strict=True):
        bits = np.unpackbits(columns.numpy(), axis=-1).T
        assert bits.flags.f_contiguous
        assert mask_util.encode(bits) == mask_util.encode(np.asfortranarray(mask.numpy(), np.uint8))
    assert full.any() and not full.all()


def test_impossible_arguments():
    with pytest.raises(InputError, match="masks 'half': they must be one of soft, full, rle-ready"):
        Brightness(masks="half")
    with pytest.raises(InputError, match="7 candidates: give 1 to 6, which is LIMIT"):
        Brightness(7)
    fixed = Brightness()
    fixed.needs_sizes = True
    with pytest.raises(InputError, match="give sizes"):
        fixed(torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize("kernel", ["gaussian", "linear"])
def test_matrix_nms_is_the_operators(kernel):
    corner = torch.randint(0, 6, (2, 12, 2))
    grid = torch.arange(10)
    inside = (grid[:, None] >= corner[..., :1, None]) & (grid >= corner[..., 1:, None])
    classes, scores = torch.randint(0, 2, (2, 12)), torch.rand(2, 12)
    valid = torch.rand(2, 12) > 0.2
    settings = SimpleNamespace(nms_type="matrix", nms_kernel=kernel, nms_sigma=2.0, update_thr=0.3)
    found, kept = FixedMatrixNMS(settings, "NODE")(inside.float(), classes, scores, valid)
    for i in range(2):
        order = torch.where(valid[i], scores[i], -1).argsort(descending=True)[: int(valid[i].sum())]
        wanted = matrix_nms(inside[i, order], classes[i, order], scores[i, order], kernel)
        torch.testing.assert_close(found[i, order], wanted, atol=1e-6, rtol=0)
        assert kept[i].sum() == (wanted >= 0.3).sum() and not (kept[i] & ~valid[i]).any()


def test_other_nms_is_refused():
    with pytest.raises(InputError, match="NODE.NMS_TYPE soft has no form of fixed shapes: set NODE.NMS_TYPE"):
        FixedMatrixNMS(SimpleNamespace(nms_type="soft"), "NODE")


def test_pick_and_blank():
    values = torch.arange(12).view(2, 3, 2)
    chosen = pick(values, torch.tensor([[2, 0], [1, 1]]))
    assert chosen.tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]
    assert blank(chosen, torch.tensor([1, 0])).tolist() == [[[4, 5], [0, 0]], [[0, 0], [0, 0]]]
