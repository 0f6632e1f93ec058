"""Pickles of arrays are read, anything else is refused before it is called."""

import io
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from solo_d2.checkpoint.array_pickle import ForbiddenObject, read_array_pickle


def read(data: bytes):
    return read_array_pickle(io.BytesIO(data))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol(protocol):
    rng = np.random.default_rng(0)
    content = OrderedDict(
        a=rng.standard_normal((3, 4)).astype(np.float32),
        fortran=np.asfortranarray(rng.standard_normal((2, 5))),
        empty=np.zeros((0, 2), np.float32),
        scalar=np.float32(0.5),
        point=np.array(3, np.int64),
        plain=[1, "two", None, {"b": np.arange(3)}],
    )
    found = read(pickle.dumps(content, protocol))
    for name in ("a", "fortran", "empty", "point"):
        assert found[name].dtype == content[name].dtype and np.array_equal(found[name], content[name])
        assert found[name].flags.writeable
    assert found["scalar"] == 0.5
    assert found["plain"][:3] == [1, "two", None] and np.array_equal(found["plain"][3]["b"], np.arange(3))


def test_python_2_strings():
    data = b"\x80\x02}q\x00U\x03abcq\x01U\x01\xffq\x02s."
    assert read(data) == {"abc": "\xff"}


class Executes:
    def __reduce__(self):
        return print, ("executed",)


class ExecutesInDtype:
    def __reduce__(self):
        return np.array([Executes()], dtype=object).__reduce__()


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("content", [Executes(), np.array([Executes()], dtype=object), [np.ma.array([1])]])
def test_nothing_is_called(content, protocol, capsys):
    data = pickle.dumps({"w": content}, protocol)
    with pytest.raises(ForbiddenObject, match="Python object"):
        read(data)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("cut", [0, 5, 60, -3])
def test_damage(cut):
    data = pickle.dumps({"w": np.arange(20)})
    with pytest.raises(ValueError, match="no readable pickle"):
        read(data[:cut])
