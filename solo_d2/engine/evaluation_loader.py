"""The evaluation loader, which skips and reports unreadable images up to a limit."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from torch.utils.data import DataLoader

from detectron2.config import CfgNode
from detectron2.data import build_detection_test_loader
from solo_d2.data.loader import MAX_UNREADABLE_FRACTION
from solo_d2.data.mappers import InstanceMapper
from solo_d2.utils.errors import InputError, printable
from solo_d2.utils.image_file import UNREADABLE

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SkippedImage:
    """Placeholder of an image that cannot be used.

    Attributes:
        reason: One line that names the file.
    """

    reason: str


class SkippingMapper:
    """``InstanceMapper`` for evaluation; an image that cannot be used gives a :class:`SkippedImage`."""

    def __init__(self, cfg: CfgNode):
        self._mapper = InstanceMapper(cfg, is_train=False)

    def __call__(self, record: dict) -> dict | SkippedImage:
        """Maps one record."""
        try:
            return self._mapper(record)
        except InputError as error:
            return SkippedImage(str(error))
        except UNREADABLE as error:
            return SkippedImage(printable(f"image {record['file_name']}: {' '.join(str(error).split())}"))


class EvaluationLoader:
    """Batches of a data set, once and in order, without unusable images.

    Evaluators measure on the other images. If too many images are unusable for a meaningful result, the
    evaluation ends with an error.
    """

    def __init__(self, batches: DataLoader, dataset_name: str, num_images: int):
        """
        Args:
            batches: Lists of :class:`SkippingMapper`'s results.
            dataset_name: Name for messages.
            num_images: Number of images of this process.
        """
        self._batches = batches
        self._dataset_name = dataset_name
        self._num_images = num_images

    def __len__(self) -> int:
        """Returns the number of batches, as if all images were usable."""
        return len(self._batches)

    def __iter__(self) -> Iterator[list[dict]]:
        """Yields batches.

        Raises:
            InputError: If more than a tenth of the images, and more than one, or all images cannot be used.
        """
        skipped = 0
        for batch in self._batches:
            usable = []
            for sample in batch:
                if isinstance(sample, SkippedImage):
                    skipped += 1
                    logger.warning("skipped in the evaluation on %s: %s", self._dataset_name, sample.reason)
                    self._check_share(skipped, sample)
                else:
                    usable.append(sample)
            if usable:
                yield usable
        if skipped:
            logger.warning(
                "%s: %d of %d images could not be used; the results are for the others",
                self._dataset_name,
                skipped,
                self._num_images,
            )

    def _check_share(self, skipped: int, last: SkippedImage) -> None:
        if skipped > max(1, MAX_UNREADABLE_FRACTION * self._num_images) or skipped == self._num_images:
            raise InputError(
                f"{skipped} of {self._num_images} images of {self._dataset_name} cannot be evaluated, "
                f"the last: {last.reason}; replace them, or remove them from the annotation file"
            )


def build_test_loader(cfg: CfgNode, dataset_name: str) -> EvaluationLoader:
    """Returns a loader that iterates once over a registered dataset, in order."""
    batches = build_detection_test_loader(cfg, dataset_name, mapper=SkippingMapper(cfg))
    return EvaluationLoader(batches, dataset_name, len(batches.sampler))
