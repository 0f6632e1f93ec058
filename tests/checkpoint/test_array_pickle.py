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


class Raw:
    """Pickles as a call of ``function`` with given arguments and a state."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.reduced


def dtype_with_state(text: str, *state):
    return Raw(np.dtype, text, False, True, state=state)


# Eight bytes as a pointer: objects that the state of their type declares to be none.
POINTER = b"ABCDEFGH"
DISGUISED = dtype_with_state("O8", 3, "|", None, None, None, 8, 8, 0)
SCALAR = np.float32(1).__reduce__()[0]
RECONSTRUCT, EMPTY, _ = np.zeros(1).__reduce__()
FROM_BUFFER = np.zeros(2).__reduce_ex__(5)[0]


@pytest.mark.parametrize(
    "content",
    [
        DISGUISED,
        Raw(SCALAR, DISGUISED, POINTER),
        Raw(RECONSTRUCT, *EMPTY, state=(1, (1,), DISGUISED, False, POINTER)),
        Raw(FROM_BUFFER, POINTER, DISGUISED, (1,), "C"),
        Raw(SCALAR, dtype_with_state("V8", 3, "|", ("<O8", (1,)), None, None, 8, 8, 0), POINTER),
    ],
    ids=["type", "scalar", "array", "buffer", "subarray"],
)
def test_bytes_never_become_pointers(content):
    with pytest.raises(ForbiddenObject, match="an array of"):
        read(pickle.dumps({"w": content}, 4))


@pytest.mark.parametrize("dtype", ["S3", "U2", "c8", "M8[s]", "V4", [("a", "f4")]])
def test_arrays_of_no_numbers(dtype):
    with pytest.raises(ForbiddenObject, match="an array of type"):
        read(pickle.dumps(np.zeros(2, dtype), 4))


@pytest.mark.parametrize(
    "dtype", ["?", "i1", "u1", "<i2", ">i2", "<u4", ">i8", "<f2", ">f2", "<f4", ">f4", ">f8"]
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_numbers_of_either_byte_order(dtype, protocol):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    found = read(pickle.dumps({"w": array, "type": array.dtype, "one": array[1, 2]}, protocol))
    assert found["w"].dtype == array.dtype and np.array_equal(found["w"], array)
    assert found["type"] == array.dtype and found["one"] == array[1, 2]


@pytest.mark.parametrize(
    "state",
    [
        (3, "<", ("a",), {"a": (np.dtype("i4"), 0)}, None, 1 << 40, 1, 63),  # other sizes and fields
        (3, "<", None, None, None, -1, -1, 63),
    ],
)
def test_of_a_types_state_only_the_byte_order_counts(state):
    content = Raw(SCALAR, dtype_with_state("i4", *state), b"\1\0\0\0")
    assert read(pickle.dumps(content, 4)) == 1


def test_a_type_has_to_be_one():
    with pytest.raises(ForbiddenObject, match="an array of str"):
        read(pickle.dumps(Raw(SCALAR, "O8", POINTER), 4))
    with pytest.raises(ValueError, match="no readable pickle"):
        read(pickle.dumps(Raw(SCALAR, dtype_with_state("f4", 3, "?"), bytes(4)), 4))


@pytest.mark.parametrize("cut", [0, 5, 60, -3])
def test_damage(cut):
    data = pickle.dumps({"w": np.arange(20)})
    with pytest.raises(ValueError, match="no readable pickle"):
        read(data[:cut])
