"""The check of what TensorRT takes; tests/export/test_onnx.py applies it to real files."""

from types import SimpleNamespace

import pytest

from solo_d2.export.tensorrt import check_candidates, check_operators
from solo_d2.utils.errors import InputError


def graph(*operators, inner=()):
    """A graph of these operators; the last one holds a graph of the inner ones."""
    nodes = [SimpleNamespace(op_type=name, name=f"n{i}", attribute=[]) for i, name in enumerate(operators)]
    if inner:
        nodes[-1].attribute.append(SimpleNamespace(g=graph(*inner)))
    return SimpleNamespace(node=nodes)


def proto(main, functions=(), opset=18, domain=""):
    imports = [SimpleNamespace(domain=domain, version=opset)]
    return SimpleNamespace(graph=main, functions=functions, opset_import=imports)


def test_what_it_takes():
    check_operators(proto(graph("Conv", "TopK", "If", inner=("Mod",)), (graph("Resize"),)))
    check_operators(proto(graph("Conv"), opset=99, domain="pkg.torch"))
    check_candidates(1024)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (proto(graph("Conv", "NonZero")), "TensorRT does not take the operator NonZero, node 'n1'"),
        (proto(graph("If", inner=("Unique",))), "the operator Unique"),
        (proto(graph("Conv"), (graph("Compress"),)), "the operator Compress"),
        (proto(graph("Conv"), opset=21), "TensorRT takes opsets 9 to 20, not 21"),
    ],
)
def test_what_it_refuses(model, message):
    with pytest.raises(InputError, match=message):
        check_operators(model)


def test_more_candidates_than_it_sorts():
    with pytest.raises(InputError, match="at most 1024 candidates, not 1025: give --candidates 1024"):
        check_candidates(1025)
