"""Weight files made by chance: each is read, or refused in one printable line, in bounded time."""

import pickle
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st

from solo_d2.checkpoint import write_weight_file
from solo_d2.checkpoint.native import read_native
from solo_d2.utils.errors import InputError
from tests.fuzz.cases import few_and_many, run_cases

NAMES = st.sampled_from(
    ["model", "state_dict", "blobs", "ema_state_dict", "module.w", "_orig_mod.net.w", "ema_w", "pixel_mean"]
    + ["converted_from", "preprocessing", "matching_heuristics", "iteration", "optimizer", "\x1b[31m", ""]
    + ["mean", "std", "channels", "bbox_head.conv_cls.weight", "bbox_head.kernel_convs.0.conv.weight"]
    + ["mask_head.conv.conv_offset.weight", "backbone.conv1.weight"]
    + ["proposal_generator.fcos_head.scales.0.scale"]
)  # fmt: skip
SHAPES = st.lists(st.sampled_from([0, 1, 2, 3]), max_size=4)
TYPES = st.sampled_from(
    [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.complex64, torch.int64, torch.bool]
    + [torch.uint8, torch.float8_e4m3fn]
)
NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 60000.0, float("nan"), float("inf")])
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["mmdet", "RGB", "densecl", "__author__"]),
)


def _tensor(shape: list[int], dtype: torch.dtype, number: float, kind: str) -> torch.Tensor:
    value = torch.full(shape, 1.0 if dtype in (torch.int64, torch.uint8) else number).to(dtype)
    if kind == "sparse" and dtype != torch.float8_e4m3fn:
        return value.to_sparse()
    return value.to("meta") if kind == "meta" else value.expand(2, *shape) if kind == "expanded" else value


KINDS = st.sampled_from(["plain"] * 4 + ["sparse", "meta", "expanded"])
TENSORS = st.builds(_tensor, SHAPES, TYPES, NUMBERS, KINDS)
ARRAYS = st.builds(
    lambda shape, dtype: np.ones(shape, dtype),
    SHAPES,
    st.sampled_from(["f4", ">f4", "<f8", "f2", "i8", "?", "u2", "c8", "U3", "O"]),
)


def trees(leaves: st.SearchStrategy) -> st.SearchStrategy:
    keys = st.one_of(NAMES, NAMES, NAMES, st.integers(0, 3))
    inside = st.recursive(
        leaves,
        lambda inner: st.one_of(st.dictionaries(keys, inner, max_size=4), st.lists(inner, max_size=3)),
        max_leaves=8,
    )
    return st.dictionaries(keys, inside, max_size=5)


def good(tree: dict, weight: object, placed: bool) -> dict:
    """Adds a good weight to half of the trees: the others mostly have none at all."""
    return {**tree, "model": {"conv.weight": weight}} if placed else tree


def operations() -> st.SearchStrategy:
    """Pickles of valid operations in any order."""
    some = [
        b"]",
        b"}",
        b")",
        b"(",
        b"N",
        b"K\1",
        b"a",
        b"s",
        b"e",
        b"u",
        b"t",
        b"l",
        b"d",
        b"0",
        b"2",
        b"b",
        b"R",
    ]
    some += [
        b"q\0",
        b"h\0",
        b"\x94",
        b"r\xff\xff\xff\x7f",
        b"X\1\0\0\0w",
        b"\x93",
        b"\x81",
        b"\x85",
        b"Q",
        b"\x96",
    ]
    names = [
        "numpy.core.multiarray\n_reconstruct",
        "numpy\nndarray",
        "numpy\ndtype",
        "collections\nOrderedDict",
    ]
    names += ["torch._utils\n_rebuild_tensor_v2", "torch\nFloatStorage", "builtins\nbytearray", "os\nsystem"]
    some += [f"c{name}\n".encode() for name in names]
    return st.lists(st.sampled_from(some), max_size=40).map(lambda ops: b"\x80\x02" + b"".join(ops) + b".")


def read_or_refuse(path: Path) -> None:
    try:
        native = read_native(str(path))
    except InputError as error:
        assert str(error).isprintable() and len(str(error)) < 1000 and path.name in str(error)
    else:
        assert native.weights and all(value.float().isfinite().all() for value in native.weights.values())
        native.preprocessing.differences(native.preprocessing)


def write(path: Path, kind: str, data: st.DataObject) -> None:
    if kind == "zip" or kind == "old":
        content = good(data.draw(trees(TENSORS | PLAIN)), torch.ones(2), data.draw(st.booleans()))
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    elif kind == "pickle":
        content = good(data.draw(trees(ARRAYS | PLAIN)), np.ones(2), data.draw(st.booleans()))
        path.write_bytes(pickle.dumps(content, data.draw(st.integers(0, 5))))
    elif kind == "safetensors":
        weights = {"a.weight": torch.ones(2, 3), "b": torch.ones(1, dtype=torch.float16)}
        write_weight_file(str(path), weights, origin=data.draw(st.text(max_size=5)))
    else:
        path.write_bytes(data.draw(operations()))


def damage(path: Path, data: st.DataObject) -> None:
    """Changes up to four bytes and may cut the end; the draws do not depend on the length, which varies."""
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, 2**20), max_size=4)):
        value = data.draw(st.integers(0, 255))
        if content:
            content[place % len(content)] = value
    if data.draw(st.integers(0, 4)) == 0:
        del content[data.draw(st.integers(0, 2**20)) % (len(content) + 1) :]
    path.write_bytes(content)


def one_file(folder: Path, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["zip", "old", "pickle", "safetensors", "operations"]))
    ending = {"pickle": ".pkl", "safetensors": ".safetensors"}.get(kind, ".pth")
    path = folder / f"m{data.draw(st.sampled_from(['.pth', '.pkl'])) if kind == 'operations' else ending}"
    write(path, kind, data)
    if data.draw(st.booleans()):
        damage(path, data)
    read_or_refuse(path)


@few_and_many(100, 1000)
def test_weight_files(tmp_path, count):
    run_cases(count, lambda data: one_file(tmp_path, data))
