"""The instances found in one picture, with all that is needed to draw and convert them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageShow

from detectron2.data import Metadata
from detectron2.structures import Instances
from solo_d2.utils.errors import InputError
from solo_d2.visualization.pictures import RESULT_QUALITY, save_picture
from solo_d2.visualization.results import draw_picture

from .formats import coco_rows, cut_out, dense_masks, labelme_content, yolo_lines

if TYPE_CHECKING:
    from supervision import Detections


class Prediction(Instances):
    """Detectron2's ``Instances`` of one picture; what takes those takes this.

    Selections (``prediction[prediction.scores > 0.5]``) and ``to(device)`` keep the type, and all can be
    pickled. The picture is kept as it was given: of a file the path, which is read when it is drawn.
    """

    def __init__(
        self,
        instances: Instances,
        read_picture: Callable[[], np.ndarray],
        path: str = "",
        metadata: Metadata | None = None,
    ):
        """
        Args:
            instances: What the model found.
            read_picture: Returns the picture, RGB uint8 (H, W, 3).
            path: File or address of the picture; "" without one.
            metadata: Names and category ids of the classes.
        """
        super().__init__(instances.image_size, **instances.get_fields())
        self._read_picture = read_picture
        self._path = path
        self._metadata = metadata or Metadata()

    @property
    def path(self) -> str:
        """File or address of the picture; "" without one."""
        return self._path

    @property
    def picture(self) -> np.ndarray:
        """The picture, RGB uint8 (H, W, 3), turned as EXIF says.

        Raises:
            InputError: The file is gone.
        """
        return self._read_picture()

    @property
    def class_names(self) -> list[str]:
        """The name of each instance's class; its number where names are not known."""
        known = dict(enumerate(self._metadata.get("thing_classes", [])))
        return [known.get(index, str(index)) for index in self.pred_classes.tolist()]

    @property
    def category_ids(self) -> Mapping[int, int | str]:
        """The data set's category ids by ``pred_classes``, as far as they are known."""
        return category_ids_of(self._metadata)

    def to(self, *args: Any, **kwargs: Any) -> Prediction:
        """Returns a prediction whose fields are on another device."""
        return self._with(super().to(*args, **kwargs))

    def __getitem__(self, item: Any) -> Prediction:
        """Selects instances by number, slice, or index or bool tensor."""
        return self._with(super().__getitem__(item))

    def _with(self, instances: Instances) -> Prediction:
        return Prediction(instances, self._read_picture, self._path, self._metadata)

    def plot(self, parts: str = "both") -> np.ndarray:
        """Draws masks, boxes, class names and scores over the picture.

        Args:
            parts: "masks", "boxes" or "both".

        Returns:
            RGB uint8 (k * H, k * W, 3); k enlarges pictures whose shorter side is below 320 pixels.
        """
        return draw_picture(self.picture, {"instances": self.to("cpu")}, self._metadata, parts)

    def show(self) -> None:
        """Opens :meth:`plot` in a viewer, or in a notebook.

        Raises:
            InputError: The machine has no viewer.
        """
        if not ImageShow.show(Image.fromarray(self.plot())):
            raise InputError("this machine has no viewer for pictures: write a file with save(path)")

    def save(self, path: str | os.PathLike, parts: str = "both") -> Path:
        """Writes :meth:`plot` to a file and returns its path.

        Args:
            path: The file; its suffix chooses the format.
            parts: See :meth:`plot`.

        Raises:
            InputError: The file cannot be written, or it is the picture's own.
        """
        if self._path and os.path.exists(path) and os.path.exists(self._path):
            if os.path.samefile(path, self._path):
                raise InputError(f"{path} is the picture itself: name another file to save the drawing")
        save_picture(self.plot(parts), path, RESULT_QUALITY)
        return Path(path)

    def crops(self, masked: bool = False) -> list[np.ndarray]:
        """Cuts each instance's box out of the picture.

        Args:
            masked: Whether pixels outside the mask become black.

        Returns:
            RGB uint8 (h, w, 3) of each instance; 0 x 0 for an empty box.
        """
        masks = dense_masks(self) if masked else None
        return cut_out(self.picture, self.pred_boxes.tensor.cpu().numpy(), masks)

    def to_coco(self, image_id: int | str = 1) -> list[dict]:
        """Returns rows of a COCO results file, with the data set's category ids.

        Args:
            image_id: The picture's id in the data set.

        Returns:
            See :func:`solo_d2.results.formats.coco_rows`.
        """
        return coco_rows(self.to("cpu"), image_id, os.path.basename(self._path), self.category_ids)

    def to_labelme(self) -> dict:
        """Returns the content of a LabelMe file: polygons, or rectangles of a model without masks.

        The parts of an instance share a ``group_id``; holes are filled.
        """
        return labelme_content(self.to("cpu"), self._path, self.class_names)

    def to_yolo(self) -> list[str]:
        """Returns the lines of a YOLO label file: a polygon, or the box of a model without masks.

        A line is the class index and coordinates as shares of width and height. The parts of an instance are
        joined to one polygon; holes are filled; instances without a pixel are left out.
        """
        return yolo_lines(self.to("cpu"))

    def to_supervision(self) -> Detections:
        """Returns ``supervision.Detections`` with class names in ``data["class_name"]``.

        Raises:
            InputError: The package supervision is not installed.
        """
        try:
            from supervision import Detections
        except ImportError as error:
            raise InputError('to_supervision needs a package: pip install "solo_d2[supervision]"') from error
        found = self.to("cpu")
        return Detections(
            xyxy=found.pred_boxes.tensor.numpy(),
            mask=dense_masks(found),
            confidence=found.scores.numpy(),
            class_id=found.pred_classes.numpy(),
            data={"class_name": np.array(self.class_names)},
        )


def category_ids_of(metadata: Metadata) -> dict[int, int | str]:
    """Returns the data set's category ids by class index, as far as they are known."""
    numbering = metadata.get("thing_dataset_id_to_contiguous_id", {})
    return {index: category for category, index in numbering.items()}
