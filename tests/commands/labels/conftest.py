"""The stand-in segmenter and images of the tests of pseudo-labels."""

from tests.pseudo_labels.conftest import make_images, segmenter

__all__ = ["make_images", "segmenter"]
