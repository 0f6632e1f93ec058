"""Limits on weight files from outside, so that a small file cannot ask for much memory or time."""

import pickletools
import zipfile
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

_MOST_OPERATIONS = 500_000  # of a pickle; a checkpoint has some 30 per tensor
_MOST_STATES = 20_000_000  # operations times states that are given to objects
_MOST_VALUES = 500_000
_DEEPEST = 40
# Several names may share a tensor's memory.
_MOST_COPIES = 8
_SLACK = 1 << 20  # bytes
# Python objects that PyTorch builds for a pickle and that take as much memory as a number in it says.
_GREEDY = frozenset(("bytearray", "builtins bytearray", "__builtin__ bytearray"))
_PICKLES_OF_OLD_FILES = 5


class Unbounded(ValueError):
    """A weight file that stands for more than its size."""


def check_pickle(file: BinaryIO) -> None:
    """Checks the operations of a pickle without executing them.

    Args:
        file: Read from its position to the end of the pickle.

    Raises:
        Unbounded: The pickle has too many operations or asks for memory that it does not fill.
        ValueError: It is damaged.
    """
    count = states = 0
    for operation, argument, _ in pickletools.genops(file):
        count += 1
        states += operation.name == "BUILD"
        # A reader makes room for all indices up to the one that is stored.
        if operation.name.endswith("PUT") and isinstance(argument, int) and argument > count:
            raise Unbounded("it stores an object at an index far beyond its size")
        if count > _MOST_OPERATIONS or states * count > _MOST_STATES:
            raise Unbounded("its pickle has too many operations")
        if isinstance(argument, str) and argument in _GREEDY:
            raise Unbounded("it asks for a bytearray")


def check_torch_file(path: str) -> None:
    """Checks what can be checked of a file of ``torch.save`` before it is read.

    Args:
        path: Of an archive or of a file older than that format.

    Raises:
        Unbounded: It is larger than its size when it is read.
        ValueError: It is damaged.
    """
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            for _ in range(_PICKLES_OF_OLD_FILES):
                if file.peek(1):
                    check_pickle(file)
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise Unbounded("its archive is compressed, which PyTorch's never is")
        for entry in entries:
            if entry.filename.endswith("data.pkl"):
                # PyTorch may write files without checksums.
                entry.CRC = None  # type: ignore[assignment]
                with archive.open(entry) as file:
                    check_pickle(file)  # type: ignore[arg-type]


def check_content(content: object, size: int) -> None:
    """Checks that what was read ends, and that its tensors are not larger than the file.

    Args:
        content: Nested dictionaries, lists, tuples and sets.
        size: Of the file, in bytes.

    Raises:
        Unbounded: It contains itself, has too many values, is nested too deeply, or has tensors that the file
            does not fill.
    """
    left: list[tuple[object, int]] = [(content, 0)]
    count, room = 0, _MOST_COPIES * size + _SLACK
    while left:
        value, depth = left.pop()
        if isinstance(value, Tensor | np.ndarray):
            room -= _bytes_of(value)
            if room < 0:
                raise Unbounded("its tensors declare more numbers than the file holds")
            continue
        inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        if not isinstance(inner, list | tuple | set | frozenset):
            continue
        count += len(inner)
        if count > _MOST_VALUES or depth > _DEEPEST:
            raise Unbounded("it contains itself, is nested too deeply or has too many values")
        left += [(one, depth + 1) for one in inner]


def _bytes_of(value: Tensor | np.ndarray) -> int:
    """Returns the size of a tensor's numbers; others than plain ones are refused where they are used."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    plain = value.layout == torch.strided and value.device.type == "cpu"
    return value.numel() * value.element_size() if plain else 0
