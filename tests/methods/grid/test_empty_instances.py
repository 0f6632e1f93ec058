"""A result without instances has the fields of any other."""

import torch

from solo_d2.methods.grid.postprocess import empty_instances
from solo_d2.modeling.postprocess import build_instances


def test_fields_of_full_and_empty_results_agree():
    full = build_instances(
        torch.rand(2, 8, 8),
        torch.tensor([0.9, 0.4]),
        torch.tensor([3, 1]),
        image_size=(30, 32),
        output_size=(60, 64),
        mask_stride=4,
        threshold=0.5,
    )
    empty = empty_instances((60, 64), torch.device("cpu"))
    boxes_only = empty_instances((60, 64), torch.device("cpu"), with_masks=False)
    assert set(boxes_only.get_fields()) == {"pred_boxes", "scores", "pred_classes"}
    assert len(full) == 2 and len(empty) == 0
    for name, value in full.get_fields().items():
        other = empty.get(name)
        assert type(other) is type(value)
        if isinstance(value, torch.Tensor):
            assert other.dtype == value.dtype and other.shape[1:] == value.shape[1:]
    assert full.image_size == empty.image_size == (60, 64)
    assert len(torch.cat([full.pred_boxes.tensor, empty.pred_boxes.tensor])) == 2
