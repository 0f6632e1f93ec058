"""Pictures of ground truth next to prediction for TensorBoard, after each evaluation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.utils.events import get_event_storage
from detectron2.utils.visualizer import VisImage, Visualizer
from solo_d2.utils.image_file import UNREADABLE, read_image
from solo_d2.utils.panoptic_png import read_ids

from .sheets import make_sheet

_MIN_SCORE = 0.3  # predictions below it are not drawn
_MAX_SIDE = 640  # pixels of a picture's longer side


class ValidationPictures:
    """Draws a few validation images; call ``draw`` inside an ``EventStorage``."""

    def __init__(
        self,
        model: torch.nn.Module,
        mapper: Callable[[dict], dict],
        dataset_name: str,
        count: int,
        prediction_metadata: Metadata | None = None,
    ):
        """
        Args:
            model: The evaluated model, not wrapped.
            mapper: Maps a record to the model's input, as in evaluation.
            dataset_name: Registered data set of the images.
            count: Number of images, spread evenly over the data set.
            prediction_metadata: Names of the predicted classes; None for those of the data set.
        """
        self._model = model
        self._mapper = mapper
        self._dataset_name = dataset_name
        self._count = count
        self._records: list[dict] | None = None
        self._prediction_metadata = prediction_metadata

    @torch.no_grad()
    def draw(self) -> None:
        """Stores one picture per image, ground truth left and prediction right."""
        if self._records is None:
            records = DatasetCatalog.get(self._dataset_name)
            self._records = records[:: max(1, len(records) // self._count)][: self._count]
        was_training = self._model.training
        self._model.eval()
        for record in self._records:
            try:
                sample = self._mapper(dict(record))
            except UNREADABLE:  # the evaluation reports it
                continue
            output = self._model([sample])[0]
            picture = self._side_by_side(record, output)
            name = f"validation/{Path(record['file_name']).stem}"
            get_event_storage().put_image(name, picture.transpose(2, 0, 1))
        self._model.train(was_training)

    def _side_by_side(self, record: dict, output: dict) -> np.ndarray:
        """Draws both as RGB uint8 (H, 2 * W, 3)."""
        image = read_image(record["file_name"])
        scale = min(1.0, _MAX_SIDE / max(image.shape[:2]))
        metadata = MetadataCatalog.get(self._dataset_name)
        truth = _draw_truth(Visualizer(image, metadata, scale=scale), record)
        found = _draw_output(Visualizer(image, self._prediction_metadata or metadata, scale=scale), output)
        return make_sheet([[truth.get_image(), found.get_image()]], gap=0)


def _draw_truth(visualizer: Visualizer, record: dict) -> VisImage:
    if "pan_seg_file_name" in record:
        ids = torch.from_numpy(read_ids(record["pan_seg_file_name"]))
        return visualizer.draw_panoptic_seg(ids, record["segments_info"])
    return visualizer.draw_dataset_dict(record)


def _draw_output(visualizer: Visualizer, output: dict) -> VisImage:
    if "panoptic_seg" in output:
        ids, segments = output["panoptic_seg"]
        return visualizer.draw_panoptic_seg(ids.cpu(), segments)
    instances = output["instances"].to("cpu")
    return visualizer.draw_instance_predictions(instances[instances.scores >= _MIN_SCORE])
