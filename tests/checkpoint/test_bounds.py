"""Small files that stand for much, or for what no model can have, end in one line, quickly."""

import io
import pickle
import resource
import struct
import time
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from solo_d2.checkpoint.array_pickle import read_array_pickle
from solo_d2.checkpoint.bounds import Unbounded, check_content, check_pickle
from solo_d2.checkpoint.native import read_native
from solo_d2.utils.errors import InputError

SECONDS = 5  # one on a machine that does nothing else
KIBIBYTES = 200 << 10


def refused(path, message: str = ""):
    """Expects one printable line, in bounded time and memory."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(InputError, match=message) as error:
        read_native(str(path))
    assert str(error.value).isprintable() and len(str(error.value)) < 1000
    assert time.process_time() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < KIBIBYTES


def cyclic(weight):
    content = {"w": weight}
    content["model"] = content
    return content


def nested(weight):
    content = {"w": weight}
    for _ in range(100):
        content = {"model": content}
    return content


def laughs(weight):
    content = [1] * 10
    for _ in range(30):
        content = [content] * 10
    return {"w": weight, "rest": content}


def saved(path, content):
    if path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(content, 2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=path.stem != "old")
    return path


@pytest.mark.parametrize("name", ["new.pth", "old.pth", "m.pkl"])
@pytest.mark.parametrize("make", [cyclic, nested, laughs])
def test_content_without_end(tmp_path, name, make):
    content = make(np.ones(1) if name == "m.pkl" else torch.ones(1))
    refused(saved(tmp_path / name, content), "contains itself, is nested too deeply or has too many values")


def test_a_pickle_nested_100_000_times(tmp_path):
    (tmp_path / "m.pkl").write_bytes(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")
    refused(tmp_path / "m.pkl", "nested too deeply")


HUGE = {
    "index of the memo": b"}r\xff\xff\xff\x03.",
    "index in text": b"}p67108863\n.",
    "bytearray of a number": b"cbuiltins\nbytearray\n(J\xff\xff\xff\x3ftR.",
    "bytearray of Python 2": b"c__builtin__\nbytearray\n(J\xff\xff\xff\x3ftR.",
    "bytearray by its name": b"\x80\x04\x8c\x08builtins\x8c\x09bytearray\x93J\xff\xff\xff\x3f\x85R.",
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".",
    "bytes in a bytearray": b"\x80\x05\x96" + struct.pack("<Q", 1 << 30) + b".",
    "text": b"X\xff\xff\xff\x7f.",
    "number": b"\x8b\xff\xff\xff\x7f.",
    "states": b"ccollections\nOrderedDict\n)R" + b"}b" * 100_000 + b".",
    "operations": b"N0" * 600_000 + b"N.",
}


@pytest.mark.parametrize("what", HUGE)
@pytest.mark.parametrize("ending", [".pth", ".pkl", ".zip"])
def test_a_small_pickle_that_asks_for_much(tmp_path, what, ending):
    path = tmp_path / f"m{ending}"
    path.write_bytes(HUGE[what])
    if ending == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("m/data.pkl", HUGE[what])
            archive.writestr("m/version", "3\n")
            archive.writestr("m/byteorder", "little")
    refused(path)


def test_a_compressed_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", bytes(1 << 26))
    refused(tmp_path / "m.pth", "its archive is compressed")


@pytest.mark.parametrize("name", ["new.pth", "old.pth"])
def test_a_tensor_that_repeats_one_number(tmp_path, name):
    refused(saved(tmp_path / name, {"w": torch.ones(1).expand(1 << 40)}), "declare more numbers")


def test_arrays_of_the_same_bytes_again_and_again(tmp_path):
    bytes_of = b"\x8e" + struct.pack("<Q", 1 << 20) + bytes(1 << 20) + b"\x94"
    dtype = b"cnumpy\ndtype\n\x8c\x02f4\x85R\x94"
    again = b"cnumpy.core.numeric\n_frombuffer\n(h\0h\1J\0\0\4\0\x85\x8c\1CtR"
    data = b"\x80\x04(" + bytes_of + dtype + again * 1000 + b"l."
    (tmp_path / "m.pkl").write_bytes(data)
    refused(tmp_path / "m.pkl", "copies its content again and again")


def test_a_pickle_cannot_change_its_reader():
    change = b"cnumpy.core.multiarray\nscalar\n}X\x0c\0\0\0__defaults__NsN\x86b."
    with pytest.raises(pickle.UnpicklingError, match="a change of Python code"):
        read_array_pickle(io.BytesIO(change))


def unusual():
    yield "sparse", torch.eye(3).to_sparse(), "sparse or nested"
    yield "meta", torch.ones(3, device="meta"), "no numbers"
    yield "quantized", torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "is quantized"
    yield "complex", torch.ones(3, dtype=torch.complex64), "complex numbers"
    yield "NaN", torch.tensor([1.0, float("nan")]), "NaN or infinite"
    yield "infinite", torch.tensor([float("-inf")], dtype=torch.bfloat16), "NaN or infinite"
    yield "float8", torch.tensor([float("nan")]).to(torch.float8_e4m3fn), "NaN or infinite"


@pytest.mark.parametrize(("value", "message"), [pytest.param(v, m, id=i) for i, v, m in unusual()])
def test_weights_that_no_model_can_have(tmp_path, value, message):
    refused(saved(tmp_path / "m.pth", {"model": {"conv.weight": value}}), f"weight conv.weight .*{message}")


@pytest.mark.parametrize("name", ["a\x1b[31m.weight", "a" * 100_000, "a\n.weight"])
def test_names_that_no_parameter_has(tmp_path, name):
    refused(saved(tmp_path / "m.pth", {name: torch.ones(1)}), "has no parameter's name")


def test_keys_that_are_no_text_are_no_weights(tmp_path):
    refused(saved(tmp_path / "m.pth", {3: torch.ones(1)}), "holds no dictionary of weights")


def test_settings_that_are_none(tmp_path):
    settings = {"mean": ["a", [1]], "std": 3, "channels": [1], "stride_in_1x1": "no", "short_side": 1.5}
    content = {"model": {"w": torch.ones(1)}, "preprocessing": settings, "matching_heuristics": torch.ones(2)}
    native = read_native(str(saved(tmp_path / "m.pth", {**content, "converted_from": torch.ones(2)})))
    assert native.preprocessing.as_dict() == {} and not native.heuristics and native.format is None


def test_what_real_checkpoints_have_passes(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2])
    content = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": schedule.state_dict(),
        "copies": [OrderedDict(model.state_dict()) for _ in range(3)],
        "order": list(range(100_000)),
    }
    for name in ("new.pth", "old.pth"):
        native = read_native(str(saved(tmp_path / name, content)))
        assert native.weights.keys() == model.state_dict().keys() and len(native.rest["order"]) == 100_000


def test_an_archive_without_checksums(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        saved(tmp_path / "m.pth", {"w": torch.ones(3)})
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_native(str(tmp_path / "m.pth")).weights["w"], torch.ones(3))


def test_limits_are_checked_without_a_file():
    check_pickle(io.BytesIO(pickle.dumps({"a": [1, 2]})))
    check_content({"a": torch.ones(100), "b": [np.ones(3)]}, 400)
    with pytest.raises(Unbounded):
        check_content([torch.ones(1 << 19)], 1)
