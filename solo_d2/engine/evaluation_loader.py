"""The evaluation loader; an image that cannot be read stops it with the image's name."""

from detectron2.config import CfgNode
from detectron2.data import build_detection_test_loader
from solo_d2.data.mappers import InstanceMapper
from solo_d2.utils.errors import InputError
from solo_d2.utils.image_file import UNREADABLE


class NamingMapper:
    """``InstanceMapper`` for evaluation whose errors name the file.

    Evaluation does not go on without an image, as training does: it would be another data set.
    """

    def __init__(self, cfg: CfgNode):
        self._mapper = InstanceMapper(cfg, is_train=False)

    def __call__(self, record: dict) -> dict:
        """Maps one record.

        Raises:
            InputError: if its image cannot be read.
        """
        try:
            return self._mapper(record)
        except UNREADABLE as error:
            raise InputError(
                f"image {record.get('file_name')} cannot be read ({' '.join(str(error).split())}): "
                "replace it, or take it out of the annotation file"
            ) from error


def build_test_loader(cfg: CfgNode, dataset_name: str):
    """Returns the loader that goes once over a registered dataset, in order."""
    return build_detection_test_loader(cfg, dataset_name, mapper=NamingMapper(cfg))
