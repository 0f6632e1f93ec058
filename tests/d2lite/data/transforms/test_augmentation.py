import numpy as np
import pytest
from fvcore.transforms.transform import HFlipTransform, NoOpTransform

from detectron2.data import transforms as T

IMAGE = np.arange(24, dtype=np.uint8).reshape(4, 6)


class FlipIfLabeled(T.Augmentation):
    """Needs more than the image."""

    def get_transform(self, image, sem_seg):
        return HFlipTransform(image.shape[1]) if sem_seg.any() else NoOpTransform()


def test_everything_in_the_input_is_transformed():
    boxes = np.array([[0.0, 1.0, 2.0, 3.0]])
    aug_input = T.AugInput(IMAGE, boxes=boxes, sem_seg=IMAGE % 3)
    tfm = FlipIfLabeled()(aug_input)
    assert isinstance(tfm, HFlipTransform)
    assert np.array_equal(aug_input.image, IMAGE[:, ::-1])
    assert np.array_equal(aug_input.sem_seg, (IMAGE % 3)[:, ::-1])
    assert np.array_equal(aug_input.boxes, [[4, 1, 6, 3]])


class NeedsDepth(T.Augmentation):
    """Needs what no AugInput has."""

    def get_transform(self, image, depth):
        return NoOpTransform()


def test_missing_input_is_named():
    with pytest.raises(AttributeError, match="depth"):
        NeedsDepth()(T.AugInput(IMAGE))


def test_list_sees_the_changes_so_far():
    augs = T.AugmentationList(
        [T.ResizeTransform(4, 6, 8, 3), HFlipTransform(3), T.RandomCrop("absolute", (2, 2))]
    )
    aug_input = T.AugInput(IMAGE)
    transforms = augs(aug_input)
    assert aug_input.image.shape == (2, 2)
    assert isinstance(transforms, T.TransformList)
    assert np.array_equal(transforms.apply_image(IMAGE), aug_input.image)


def test_repr_shows_what_differs_from_the_defaults():
    assert repr(T.RandomFlip(0.3)) == "RandomFlip(prob=0.3)"
    listed = repr(T.AugmentationList([T.RandomFlip(0.3)]))
    assert "RandomFlip(prob=0.3)" in listed
