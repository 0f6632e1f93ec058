"""Reads old ``.pkl`` weight files (Caffe2, Detectron2's model zoo) without running code from the file.

Unpickling calls whatever a file names. This reader allows only the names that dictionaries of numpy arrays
need, and builds those arrays itself. Any other name raises an error before it is looked up.
"""

import os
import pickle
import re
from collections.abc import Callable, Sized
from typing import BinaryIO, Literal

import numpy as np

from .bounds import Unbounded, check_content, check_pickle

# Booleans, integers, and floating-point numbers in the sizes that tensors have.
_NUMBER = re.compile("b1|[iu][1248]|f[248]")
# How often a byte of the file may be copied: from text, into an array; and what small files need besides.
_COPIES = 4
_SLACK = 4096


class ForbiddenObject(pickle.UnpicklingError):
    """A Python object in a pickle that cannot be part of weights."""


class _DType:
    """A number's type, kept as the pickle's text.

    numpy's own class would take its flags from the file. An "O" type that claims to hold no objects would
    turn bytes of the file into pointers.
    """

    def __init__(self, text: str, *_copying: bool):
        if not _NUMBER.fullmatch(text):
            kind = "Python objects" if text.startswith("O") else f"type {text}"
            raise ForbiddenObject(f"an array of {kind}")
        self._text = text
        self._order: Literal["<", ">", "=", "|"] = "="

    def __setstate__(self, state: tuple) -> None:
        _version, self._order, *_flags = state

    @property
    def value(self) -> np.dtype:
        return np.dtype(self._text).newbyteorder(self._order)


class _Array:
    """An array as pickles build it: created empty, then given its state."""

    def __setstate__(self, state: tuple) -> None:
        _version, shape, dtype, fortran, data = state
        self.value = _buffer(data, dtype, shape, "F" if fortran else "C")


def _numbers(data: bytes | str, dtype: _DType) -> np.ndarray:
    """Decodes bytes to numbers; Python 2 wrote bytes as text."""
    if not isinstance(dtype, _DType):
        raise ForbiddenObject(f"an array of {type(dtype).__name__}")
    return np.frombuffer(data.encode("latin1") if isinstance(data, str) else data, dtype=dtype.value)


def _scalar(dtype: _DType, data: bytes | str = b"") -> float | int:
    return _numbers(data, dtype)[0].item()


def _buffer(data: bytes | str, dtype: _DType, shape: tuple[int, ...], order: Literal["C", "F"]) -> np.ndarray:
    return _numbers(data, dtype).reshape(shape, order=order).copy()


class _Pairs(dict):
    """A dictionary; attributes that a file gives it are dropped."""

    def __setstate__(self, state: object) -> None:
        pass


class _Builder:
    """A function for a pickle to call, which the pickle can neither change nor have copy without end."""

    __slots__ = ("_build", "_room")

    def __init__(self, build: Callable[..., object], room: list[int]):
        """
        Args:
            build: The function.
            room: The number of bytes that all builders of one file may still copy.
        """
        self._build = build
        self._room = room

    def __call__(self, *arguments: object) -> object:
        self._room[0] -= sum(len(one) for one in arguments if isinstance(one, Sized))
        if self._room[0] < 0:
            raise Unbounded("it copies its content again and again")
        return self._build(*arguments)

    def __setstate__(self, state: object) -> None:
        raise ForbiddenObject("a change of Python code")


_BUILDERS: dict[str, Callable[..., object]] = {
    "multiarray._reconstruct": lambda *_: _Array(),
    "multiarray.scalar": _scalar,
    "numeric._frombuffer": _buffer,
    "numpy.ndarray": _Array,
    "numpy.dtype": _DType,
    "collections.OrderedDict": _Pairs,
    "__builtin__.bytes": lambda: b"",  # the content of an empty array in old protocols
    "_codecs.encode": lambda text, _: text.encode("latin1"),
}


class _ArrayUnpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO):
        super().__init__(file, encoding="latin1")
        start = file.tell()
        self._room = [_COPIES * (file.seek(0, os.SEEK_END) - start) + _SLACK]
        file.seek(start)

    def find_class(self, module: str, name: str) -> _Builder:
        for prefix in ("numpy.core.", "numpy._core."):  # before and since numpy 2
            module = module.removeprefix(prefix)
        build = _BUILDERS.get(f"{module}.{name}")
        if build is None:
            raise ForbiddenObject(f"the Python object {module}.{name}")
        return _Builder(build, self._room)


def read_array_pickle(file: BinaryIO) -> object:
    """Reads dictionaries, lists and plain values with numpy arrays, of Python 2 or 3.

    Args:
        file: A file opened for binary reading.

    Returns:
        The content, with arrays as ``np.ndarray``.

    Raises:
        ForbiddenObject: If the file holds other objects; none of them was called.
        Unbounded: If the file stands for more than its size.
        ValueError: If the file is not a pickle, or is damaged.
    """
    try:
        check_pickle(file)
        file.seek(0)
        content = _ArrayUnpickler(file).load()
        check_content(content, file.seek(0, os.SEEK_END))
        return _arrays(content)
    except (ForbiddenObject, Unbounded):
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise ValueError(f"no readable pickle ({type(error).__name__})") from error


def _arrays(value: object) -> object:
    """Replaces placeholders by the arrays that they hold."""
    if isinstance(value, dict):
        return {key: _arrays(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_arrays(one) for one in value]
    return value.value if isinstance(value, _Array | _DType) else value
