"""Maps a panoptic record to an image, instances that never overlap, and a semantic map."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from detectron2.config import CfgNode, configurable
from detectron2.data import MetadataCatalog
from detectron2.structures import Instances
from solo_d2.data.datasets.panoptic_format import THINGS_NAME
from solo_d2.structures import RunMasks
from solo_d2.utils.panoptic_png import read_id_colors, rgb_to_ids, segment_indices

from .instance import InstanceMapper, as_planes

_UNUSED_FIELDS = ("annotations", "segments_info", "pan_seg_file_name")


class PanopticMapper(InstanceMapper):
    """Takes both kinds of targets from the panoptic PNG (CondInst paper, section 3.9).

    Records without a PNG, such as those of Detectron2's "separated" data sets, are mapped by
    ``InstanceMapper``.
    """

    @configurable
    def __init__(
        self,
        is_train: bool,
        *,
        thing_labels: Mapping[int, int],
        stuff_labels: Mapping[int, int],
        ignore_value: int,
        **kwargs,
    ):
        """
        Args:
            is_train: Whether to return targets.
            thing_labels: Maps the records' thing category ids to classes from 0.
            stuff_labels: Maps the records' stuff category ids to labels from 1.
            ignore_value: Label of pixels outside the listed segments.
            **kwargs: Arguments of ``DatasetMapper``.
        """
        super().__init__(is_train, **kwargs)
        self.thing_labels = dict(thing_labels)
        self.stuff_labels = dict(stuff_labels)
        self.ignore_value = ignore_value

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict:
        things, stuff = panoptic_labels(MetadataCatalog.get(cfg.DATASETS.TRAIN[0]))
        return {
            **super().from_config(cfg, is_train),
            "thing_labels": things,
            "stuff_labels": stuff,
            "ignore_value": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
        }

    def __call__(self, dataset_dict: dict) -> dict:
        """Maps one record; the record is not changed.

        Args:
            dataset_dict: Has "pan_seg_file_name" and "segments_info" in Detectron2's format.

        Returns:
            "image" (3, H, W) uint8; "instances" with ``gt_boxes``, ``gt_classes`` and ``gt_masks`` of the
            things that are not crowds; "sem_seg" (H, W) int64, 0 for things, including crowds.
        """
        if not self.is_train or "pan_seg_file_name" not in dataset_dict:
            return super().__call__(dataset_dict)
        sample = {key: value for key, value in dataset_dict.items() if key not in _UNUSED_FIELDS}
        # The ids are resized as colors, because Pillow's nearest-neighbor resize supports 8 bits only.
        augmented, _ = self._augment(sample, dataset_dict["pan_seg_file_name"], read_id_colors)
        sample["image"] = as_planes(augmented.image)
        segments = dataset_dict["segments_info"]
        place = segment_indices(rgb_to_ids(augmented.sem_seg), [s["id"] for s in segments])
        sample["instances"] = self._instances(place, segments)
        sample["sem_seg"] = torch.from_numpy(self._semantic(place, segments))
        return sample

    def _instances(self, place: np.ndarray, segments: Sequence[Mapping]) -> Instances:
        """Builds instances; ``place`` (H, W) is 1 + the index of each pixel's segment, 0 for none."""
        areas = np.bincount(place.ravel(), minlength=len(segments) + 1)
        things = [
            index
            for index, segment in enumerate(segments)
            if segment["isthing"] and not segment.get("iscrowd") and areas[index + 1]
        ]
        instances = Instances(place.shape)
        instances.gt_masks = _runs_of_labels(place, np.array(things, np.int64) + 1)
        instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
        classes = [self.thing_labels[segments[index]["category_id"]] for index in things]
        instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
        return instances

    def _semantic(self, place: np.ndarray, segments: Sequence[Mapping]) -> np.ndarray:
        labels = [0 if s["isthing"] else self.stuff_labels[s["category_id"]] for s in segments]
        return np.array([self.ignore_value, *labels], np.int64)[place]


def _runs_of_labels(place: np.ndarray, labels: np.ndarray) -> RunMasks:
    """Returns the masks of some labels of a map (H, W); each has at least one pixel."""
    height, width = place.shape
    by_column = place.T.ravel()
    is_start = np.ones(height * width, np.bool_)
    is_start[1:] = by_column[1:] != by_column[:-1]
    is_start[::height] = True
    starts = np.flatnonzero(is_start)
    column, top = np.divmod(starts, height)
    runs = np.stack([column, top, top + np.diff(starts, append=height * width)], axis=1).astype(np.int32)
    owners = np.full(int(place.max()) + 1, len(labels))
    owners[labels] = np.arange(len(labels))
    owner = owners[by_column[starts]]
    order = owner.argsort(kind="stable")
    counts = np.bincount(owner, minlength=len(labels) + 1)[: len(labels)]
    chosen = runs[order[: counts.sum()]]
    return RunMasks(torch.from_numpy(chosen), torch.from_numpy(counts), (height, width))


def panoptic_labels(metadata) -> tuple[dict[int, int], dict[int, int]]:
    """Maps a data set's numbering of things and stuff to the models' numbering.

    Detectron2's "standard" data sets number things and stuff together. Models number things from 0, and stuff
    from 1, because label 0 means things.

    Args:
        metadata: Metadata of the data set.

    Returns:
        Thing category id to class, and stuff category id to label; empty for data without stuff.
    """
    things = sorted(set(metadata.get("thing_dataset_id_to_contiguous_id", {}).values()))
    stuff = sorted(set(metadata.get("stuff_dataset_id_to_contiguous_id", {}).values()))
    if stuff and metadata.stuff_classes[stuff[0]] == THINGS_NAME:
        stuff = stuff[1:]
    return {c: i for i, c in enumerate(things)}, {c: i for i, c in enumerate(stuff, start=1)}
