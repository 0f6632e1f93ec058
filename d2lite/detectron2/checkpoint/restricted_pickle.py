"""Reads pickles of numpy arrays without running anything that the file asks for.

A pickle is a program: it may name any Python callable and call it. This reader knows the few
names that arrays are stored with and refuses every other one before it is looked up.
"""

import collections
import pickle

import numpy as np


class RefusedPickle(pickle.UnpicklingError):
    """The file names a Python object that weights do not need."""


def _encode(text: str, encoding: str) -> bytes:
    """Stands for ``_codecs.encode``, by which old protocols store bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise RefusedPickle(f"bytes in the encoding {encoding!r}")
    return text.encode("latin-1")


def _empty_bytes() -> bytes:
    """Stands for ``bytes``, which old protocols call, without arguments, for empty arrays."""
    return b""


def _scalar(dtype: np.dtype, data: bytes | str = b""):
    """Stands for numpy's function, which would unpickle the data of object scalars freely."""
    if dtype.hasobject:
        raise RefusedPickle("a numpy scalar that holds Python objects")
    data = data.encode("latin-1") if isinstance(data, str) else data
    return np.frombuffer(data, dtype=dtype, count=1)[0]


def _from_buffer(buffer, dtype, shape, order) -> np.ndarray:
    """Stands for numpy's function of the same purpose in pickles of protocol 5."""
    if dtype.hasobject:
        raise RefusedPickle("a numpy array that holds Python objects")
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)


_RECONSTRUCT = np.zeros(0).__reduce__()[0]
_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _empty_bytes,
    ("collections", "OrderedDict"): collections.OrderedDict,
}
for _core in ("numpy.core", "numpy._core"):  # before and since numpy 2
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _RECONSTRUCT
    _ALLOWED[f"{_core}.multiarray", "scalar"] = _scalar
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _from_buffer


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise RefusedPickle(f"the Python object {module}.{name}") from None


def load(file) -> object:
    """Reads a pickle of dicts, lists, strings, numbers and numpy arrays, also of Python 2.

    Args:
        file: open binary file.

    Raises:
        RefusedPickle: the file holds anything else; nothing of it was called.
    """
    return _RestrictedUnpickler(file, encoding="latin1").load()
