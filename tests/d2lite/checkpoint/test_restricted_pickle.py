"""Pickles of arrays are read; anything else is refused before it is called."""

import collections
import io
import os
import pickle

import numpy as np
import pytest

pytestmark = pytest.mark.d2lite_only


def read(data: bytes):
    from detectron2.checkpoint import restricted_pickle

    return restricted_pickle.load(io.BytesIO(data))


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_every_protocol(protocol):
    data = {
        "model": collections.OrderedDict(
            a=np.arange(6, dtype=np.float32).reshape(2, 3),
            b=np.asfortranarray(np.ones((2, 3))),
            c=np.zeros((0, 4), dtype=np.int64),
        ),
        "step": np.float64(1.5),
        "__author__": "me",
        "list": [1, (2.0, None, True), b"bytes"],
    }
    found = read(pickle.dumps(data, protocol=protocol))
    for name, array in data["model"].items():
        np.testing.assert_array_equal(found["model"][name], array)
        assert found["model"][name].dtype == array.dtype
    assert (found["step"], found["list"]) == (1.5, data["list"])


def test_arrays_of_python_2():
    text = pickle.dumps({"w": np.ones(2)}, protocol=2).replace(b"numpy._core", b"numpy.core")
    np.testing.assert_array_equal(read(text)["w"], np.ones(2))


class Attack:
    def __init__(self, function, *args):
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


def test_attacks_are_refused_and_nothing_runs(tmp_path):
    from detectron2.checkpoint import restricted_pickle

    target = tmp_path / "executed"
    inner = pickle.dumps(Attack(os.mkdir, str(target)))
    scalar = np.float64(0).__reduce__()[0]
    attacks = [
        Attack(os.mkdir, str(target)),
        Attack(eval, f"__import__('os').mkdir({str(target)!r})"),
        Attack(getattr, "", "join"),
        Attack(pickle.loads, inner),
        Attack(scalar, np.dtype("O"), inner),
        {"model": {"w": Attack(open, str(target), "w")}},
    ]
    for attack in attacks:
        for protocol in (0, 2, 5):
            with pytest.raises(restricted_pickle.RefusedPickle):
                read(pickle.dumps(attack, protocol=protocol))
    assert not target.exists()


def test_code_inside_object_arrays_is_refused(tmp_path):
    from detectron2.checkpoint import restricted_pickle

    array = np.empty(1, dtype=object)
    array[0] = Attack(os.mkdir, str(tmp_path / "executed"))
    with pytest.raises(restricted_pickle.RefusedPickle, match="mkdir"):
        read(pickle.dumps(array))
    assert not (tmp_path / "executed").exists()
