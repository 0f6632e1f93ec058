"""Detectron2's COCO evaluation on the images that could be read."""

from collections.abc import Iterable

from detectron2.evaluation import COCOEvaluator
from detectron2.utils import comm


class InstanceEvaluator(COCOEvaluator):
    """``COCOEvaluator`` in which images that it was not given do not count.

    Detectron2's own counts all objects of such images as missed.
    """

    def reset(self) -> None:
        """Forgets what was processed."""
        super().reset()
        self._seen: set = set()

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Takes model inputs with "image_id" and outputs with "instances"."""
        self._seen.update(image["image_id"] for image in inputs)
        super().process(inputs, outputs)

    def evaluate(self, img_ids: list | None = None) -> dict:
        """Computes the metrics.

        Args:
            img_ids: Images that count; default those that any process was given.
        """
        return super().evaluate(gather_ids(self._seen) if img_ids is None else img_ids)


def gather_ids(own: Iterable) -> list:
    """Returns the image ids of all processes, each once."""
    return list(set().union(*comm.all_gather(set(own))))
