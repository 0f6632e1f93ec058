"""Ground truth beside prediction, in TensorBoard, after each evaluation."""

import os

import numpy as np
import torch

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data import detection_utils as utils
from detectron2.utils.events import get_event_storage
from detectron2.utils.visualizer import Visualizer
from solo_d2.engine.dataset_checks import class_agnostic_metadata
from solo_d2.engine.evaluation_loader import NamingMapper
from solo_d2.utils.panoptic_png import read_ids

MIN_SCORE = 0.3  # predictions below it are left out of the pictures
MAX_SIDE = 640  # pixels of a picture's longer side


class ValidationPictures:
    """Draws a few validation images; call ``draw`` while an ``EventStorage`` is open.

    Args:
        cfg: its ``INPUT`` keys prepare the images.
        model: evaluated model, not wrapped.
        dataset_name: registered dataset the images come from.
        count: number of images, spread evenly over the dataset.
    """

    def __init__(self, cfg, model: torch.nn.Module, dataset_name: str, count: int):
        self._model = model
        self._mapper = NamingMapper(cfg)
        self._dataset_name = dataset_name
        self._count = count
        self._records = None
        self._prediction_metadata = class_agnostic_metadata(cfg) if cfg.TEST.CLASS_AGNOSTIC else None

    @torch.no_grad()
    def draw(self) -> None:
        """Puts one picture per image, ground truth left and prediction right."""
        if self._records is None:
            records = DatasetCatalog.get(self._dataset_name)
            self._records = records[:: max(1, len(records) // self._count)][: self._count]
        was_training = self._model.training
        self._model.eval()
        for record in self._records:
            output = self._model([self._mapper(dict(record))])[0]
            stem = os.path.splitext(os.path.basename(record["file_name"]))[0]
            picture = self._side_by_side(record, output)
            get_event_storage().put_image(f"validation/{stem}", picture.transpose(2, 0, 1))
        self._model.train(was_training)

    def _side_by_side(self, record: dict, output: dict) -> np.ndarray:
        """uint8 (H, 2W, 3) RGB."""
        image = utils.read_image(record["file_name"], "RGB")
        scale = min(1.0, MAX_SIDE / max(image.shape[:2]))
        metadata = MetadataCatalog.get(self._dataset_name)
        named = (metadata, self._prediction_metadata or metadata)
        truth, found = (Visualizer(image, names, scale=scale) for names in named)
        if "pan_seg_file_name" in record:
            ids = torch.from_numpy(read_ids(record["pan_seg_file_name"]))
            left = truth.draw_panoptic_seg(ids, record["segments_info"])
        else:
            left = truth.draw_dataset_dict(record)
        if "panoptic_seg" in output:
            ids, segments = output["panoptic_seg"]
            right = found.draw_panoptic_seg(ids.cpu(), segments)
        else:
            instances = output["instances"].to("cpu")
            right = found.draw_instance_predictions(instances[instances.scores >= MIN_SCORE])
        return np.concatenate([left.get_image(), right.get_image()], axis=1)
