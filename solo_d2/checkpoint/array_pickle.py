"""Old ``.pkl`` weight files (Caffe2, Detectron2's model zoo) read without running what they contain.

Unpickling calls whatever a file names. This reader knows only what dictionaries of numpy arrays need and
builds those itself; any other name ends the reading before it is looked up.
"""

import pickle
from collections import OrderedDict
from typing import BinaryIO

import numpy as np


class ForbiddenObject(pickle.UnpicklingError):
    """The pickle asks for a Python object that weights do not consist of."""


class _Array:
    """An array as pickles describe it: made empty, then given its state."""

    def __setstate__(self, state: tuple) -> None:
        _version, shape, dtype, fortran, data = state
        data = data.encode("latin1") if isinstance(data, str) else data
        flat = np.frombuffer(data, dtype=_plain(dtype))
        self.value = flat.reshape(shape, order="F" if fortran else "C").copy()


def _plain(dtype: np.dtype) -> np.dtype:
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise ForbiddenObject("an array of Python objects")
    return dtype


def _scalar(dtype: np.dtype, data: bytes | str = b"") -> float | int:
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, dtype=_plain(dtype), count=1)[0].item()


def _buffer(data, dtype, shape, order) -> np.ndarray:
    return np.frombuffer(data, dtype=_plain(dtype)).reshape(shape, order=order).copy()


_BUILDERS = {
    "multiarray._reconstruct": lambda *_: _Array(),
    "multiarray.scalar": _scalar,
    "numeric._frombuffer": _buffer,
    "numpy.ndarray": _Array,
    "numpy.dtype": np.dtype,
    "collections.OrderedDict": OrderedDict,
    "__builtin__.bytes": lambda: b"",  # of an empty array, in old protocols
    "_codecs.encode": lambda text, _: text.encode("latin1"),
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        for prefix in ("numpy.core.", "numpy._core."):  # before and since numpy 2
            module = module.removeprefix(prefix)
        builder = _BUILDERS.get(f"{module}.{name}")
        if builder is None:
            raise ForbiddenObject(f"the Python object {module}.{name}")
        return builder


def read_array_pickle(file: BinaryIO) -> object:
    """Reads dictionaries, lists and plain values with numpy arrays, of Python 2 or 3.

    Args:
        file: opened for binary reading.

    Returns:
        The content, its arrays as ``np.ndarray``.

    Raises:
        ForbiddenObject: the file holds something else; nothing of it was called.
        ValueError: it is no pickle, or damaged.
    """
    try:
        return _arrays(_ArrayUnpickler(file, encoding="latin1").load())
    except ForbiddenObject:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise ValueError(f"no readable pickle ({type(error).__name__})") from error


def _arrays(value):
    """Replaces the stand-ins by what they hold."""
    if isinstance(value, dict):
        return {key: _arrays(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_arrays(one) for one in value]
    return value.value if isinstance(value, _Array) else value
