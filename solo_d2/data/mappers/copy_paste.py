"""A mapper that pastes objects of other training images; see :mod:`solo_d2.data.augmentations.copy_paste`."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from solo_d2.data.augmentations.copy_paste import CopyPaste
from solo_d2.utils.image_file import UNREADABLE


class Records(Protocol):
    """A list of records, or Detectron2's data set of one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> dict: ...


class CopyPasteMapper:
    """Maps a record and, at random, pastes objects of another record that is mapped the same way."""

    def __init__(self, mapper: Callable[[dict], dict | None], records: Records, copy_paste: CopyPaste):
        """
        Args:
            mapper: Maps a record to a sample.
            records: The data set of the pasted objects.
            copy_paste: The augmentation.
        """
        self._mapper = mapper
        self._records = records
        self._copy_paste = copy_paste

    def __call__(self, record: dict) -> dict | None:
        """Maps one record. Nothing is pasted from an unreadable image, which is reported at its own turn."""
        sample = self._mapper(record)
        if sample is None or not self._copy_paste.wanted():
            return sample
        try:
            source = self._mapper(self._records[np.random.randint(len(self._records))])
        except UNREADABLE:
            return sample
        return sample if source is None else self._copy_paste(sample, source)
