"""Instance masks of one image, as bitmaps or as polygons."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch

from .boxes import Boxes


def polygons_to_bitmask(polygons: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Rasterizes the union of polygons like the COCO API.

    Args:
        polygons: Each (2 * P,) with x0, y0, x1, y1, ... in pixels.
        height: Height of the bitmap.
        width: Width of the bitmap.

    Returns:
        (height, width) bool.
    """
    if len(polygons) == 0:
        return np.zeros((height, width), dtype=bool)
    parts = mask_util.frPyObjects([np.asarray(p).tolist() for p in polygons], height, width)
    return mask_util.decode(mask_util.merge(parts)).astype(bool)


class BitMasks:
    """N bitmaps.

    Attributes:
        tensor: (N, H, W) bool.
    """

    def __init__(self, tensor: torch.Tensor | np.ndarray):
        tensor = torch.as_tensor(tensor).to(torch.bool)
        assert tensor.dim() == 3, tensor.size()
        self.image_size = tensor.shape[1:]
        self.tensor = tensor

    def to(self, *args: Any, **kwargs: Any) -> "BitMasks":
        return BitMasks(self.tensor.to(*args, **kwargs))

    @property
    def device(self) -> torch.device:
        return self.tensor.device

    def __getitem__(self, item: int | slice | torch.Tensor) -> "BitMasks":
        """Selects by int (one mask), slice, or index or bool tensor; the result is BitMasks."""
        if isinstance(item, int):
            return BitMasks(self.tensor[item].unsqueeze(0))
        selected = self.tensor[item]
        assert selected.dim() == 3, f"Indexing on BitMasks with {item} returns {selected.shape}!"
        return BitMasks(selected)

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Yields each mask as an (H, W) bool tensor."""
        yield from self.tensor

    def __len__(self) -> int:
        return self.tensor.shape[0]

    def __repr__(self) -> str:
        return f"BitMasks(num_instances={len(self)})"

    def nonempty(self) -> torch.Tensor:
        """Returns (N,) bool, True for masks with any pixel."""
        return self.tensor.flatten(1).any(dim=1)

    @staticmethod
    def from_polygon_masks(
        polygon_masks: "PolygonMasks | list[list[np.ndarray]]", height: int, width: int
    ) -> "BitMasks":
        """Rasterizes the polygons of every instance into an image of height x width."""
        if isinstance(polygon_masks, PolygonMasks):
            polygon_masks = polygon_masks.polygons
        masks = [polygons_to_bitmask(polygons, height, width) for polygons in polygon_masks]
        if not masks:
            return BitMasks(torch.empty(0, height, width, dtype=torch.bool))
        return BitMasks(torch.from_numpy(np.stack(masks)))

    def get_bounding_boxes(self) -> Boxes:
        """Returns the tightest boxes, whose right and bottom edges are exclusive.

        An empty mask has the box (0, 0, 0, 0).
        """
        columns, rows = self.tensor.any(dim=1), self.tensor.any(dim=2)
        boxes = torch.zeros(len(self), 4, dtype=torch.float32, device=self.device)
        if len(self) == 0 or 0 in self.image_size:
            return Boxes(boxes)
        for axis, occupied in ((0, columns), (1, rows)):
            occupied = occupied.to(torch.uint8)
            boxes[:, axis] = occupied.argmax(dim=1).float()
            boxes[:, axis + 2] = (occupied.shape[1] - occupied.flip(1).argmax(dim=1)).float()
        return Boxes(boxes * columns.any(dim=1, keepdim=True))

    @staticmethod
    def cat(bitmasks_list: list["BitMasks"]) -> "BitMasks":
        assert isinstance(bitmasks_list, (list, tuple)) and len(bitmasks_list) > 0
        assert all(isinstance(masks, BitMasks) for masks in bitmasks_list)
        return BitMasks(torch.cat([masks.tensor for masks in bitmasks_list], dim=0))


class PolygonMasks:
    """N masks, each the union of polygons.

    Attributes:
        polygons: [instance][polygon], each (2 * P,) float64 with x0, y0, x1, y1, ... in pixels.
    """

    def __init__(self, polygons: list[list[Any]]):
        """
        Args:
            polygons: [instance][polygon], each (2 * P,) as a tensor, array or list.

        Raises:
            ValueError: Not a list of lists, or a polygon with an odd number of coordinates or with
                fewer than three points.
        """
        if not isinstance(polygons, list):
            raise ValueError(
                f"Cannot create PolygonMasks: expect a list of polygons per image. Got "
                f"'{type(polygons)}' instead."
            )
        self.polygons = [self._check_instance(instance) for instance in polygons]

    @staticmethod
    def _check_instance(polygons: Any) -> list[np.ndarray]:
        if not isinstance(polygons, list):
            raise ValueError(
                f"Cannot create polygons: expect a list of polygons per instance. Got "
                f"'{type(polygons)}' instead."
            )
        arrays = [
            np.asarray(p.cpu() if isinstance(p, torch.Tensor) else p).astype("float64") for p in polygons
        ]
        for array in arrays:
            if len(array) % 2 != 0 or len(array) < 6:
                raise ValueError(f"Cannot create a polygon from {len(array)} coordinates.")
        return arrays

    def to(self, *args: Any, **kwargs: Any) -> "PolygonMasks":
        """Returns itself: polygons are always on the CPU."""
        return self

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def get_bounding_boxes(self) -> Boxes:
        """Returns the tightest boxes around the vertices."""
        boxes = torch.zeros(len(self), 4, dtype=torch.float32)
        for box, polygons in zip(boxes, self.polygons, strict=True):
            low, high = torch.full((2,), float("inf")), torch.zeros(2)
            for polygon in polygons:
                points = torch.from_numpy(polygon).view(-1, 2).to(torch.float32)
                low = torch.min(low, points.min(dim=0).values)
                high = torch.max(high, points.max(dim=0).values)
            box[:2], box[2:] = low, high
        return Boxes(boxes)

    def nonempty(self) -> torch.Tensor:
        """Returns (N,) bool, True for instances with any polygon."""
        return torch.tensor([len(polygons) > 0 for polygons in self.polygons], dtype=torch.bool)

    def __getitem__(self, item: int | slice | list[int] | torch.Tensor | np.ndarray) -> "PolygonMasks":
        """Selects by int (one instance), slice, list of int, or (N,) bool or int64 tensor."""
        if isinstance(item, int):
            return PolygonMasks([self.polygons[item]])
        if isinstance(item, slice):
            return PolygonMasks(self.polygons[item])
        if isinstance(item, (torch.Tensor, np.ndarray)):
            item = torch.as_tensor(item)
            assert item.dim() == 1, item.shape
            if item.dtype == torch.bool:
                item = item.nonzero().squeeze(1)
            elif item.dtype not in (torch.int32, torch.int64):
                raise ValueError(f"Unsupported tensor dtype={item.dtype} for indexing: use bool or int64")
            item = item.tolist()
        return PolygonMasks([self.polygons[index] for index in item])

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        """Yields the polygons of each instance."""
        return iter(self.polygons)

    def __len__(self) -> int:
        return len(self.polygons)

    def __repr__(self) -> str:
        return f"PolygonMasks(num_instances={len(self)})"

    @staticmethod
    def cat(polymasks_list: list["PolygonMasks"]) -> "PolygonMasks":
        assert isinstance(polymasks_list, (list, tuple)) and len(polymasks_list) > 0
        assert all(isinstance(masks, PolygonMasks) for masks in polymasks_list)
        return PolygonMasks([polygons for masks in polymasks_list for polygons in masks.polygons])
