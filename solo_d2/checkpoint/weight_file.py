"""Reads weight files (PyTorch's, old pickles, safetensors) without running code; writes them atomically."""

import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Mapping

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from solo_d2.utils.addresses import fetch_address, is_address
from solo_d2.utils.atomic_file import atomic_write
from solo_d2.utils.errors import InputError

from .array_pickle import ForbiddenObject, read_array_pickle
from .bounds import Unbounded, check_content, check_torch_file

SAFETENSORS = ".safetensors"
# Exceptions of the two formats' writers, besides OSError, when the disk is full.
_WRITE_ERRORS = (RuntimeError, SafetensorError)
# First bytes of files that are mistaken for weight files.
_IMPOSTORS = (
    (b"<", "a web page, probably the host's error message: download the file itself"),
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with `git lfs pull`"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"{", "a JSON file"),
)


def read_weight_file(path: str, *, allow_pickle: bool = False) -> dict:
    """Reads a ``.pth``, ``.pkl`` or ``.safetensors`` file onto the CPU.

    Args:
        path: A file, or an address that Detectron2's PathManager knows.
        allow_pickle: Whether to unpickle a file that cannot be read otherwise. **This runs the file's code.**

    Returns:
        The file's dictionary; a ``.safetensors`` file gives {"model": tensors, **metadata}.

    Raises:
        InputError: If the file is missing, damaged, no weight file, or would run code.
    """
    local = local_file(path)
    try:
        content = _reader(local)(local)
        check_content(content, os.path.getsize(local))
    except InputError:
        raise
    except Unbounded as error:
        if not allow_pickle:
            raise InputError(f"{_named(path, local)} is refused: {error}. Choose another file") from error
        content = _run_pickle(path, local)
    except (ForbiddenObject, pickle.UnpicklingError) as error:
        if not (allow_pickle and _forbidden(error)):
            raise InputError(_refusal(path, local, error)) from error
        content = _run_pickle(path, local)
    except Exception as error:  # a damaged file can fail in any way
        raise InputError(_damage(path, local, error)) from error
    if not isinstance(content, dict):
        raise InputError(f"{_named(path, local)} is not a checkpoint: it holds a {type(content).__name__}")
    return content


def require_intact(path: str) -> None:
    """Raises ``InputError`` if a file of PyTorch is missing or has other bytes than were written.

    Reading a file does not find that out: its tensors' checksums are not compared.
    """
    local = local_file(path)
    if not zipfile.is_zipfile(local):
        return  # truncated, or older than the format: reading tells
    try:
        with zipfile.ZipFile(local) as archive:
            damaged = archive.testzip()
    except Exception as error:  # a damaged file can fail in any way
        raise InputError(_damage(path, local, error)) from error
    if damaged:
        raise InputError(_damage(path, local, ValueError(f"{damaged} has other bytes than were written")))


def _reader(local: str) -> Callable[[str], object]:
    if local.endswith(SAFETENSORS):
        return _read_safetensors
    return _read_pkl if _is_old_pickle(local) else _read_torch


def _is_old_pickle(local: str) -> bool:
    """Returns True for an array pickle, False for PyTorch's archive, which may be named ``.pkl``, too."""
    return local.endswith(".pkl") and not zipfile.is_zipfile(local)


def _read_torch(local: str) -> object:
    check_torch_file(local)
    return torch.load(local, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(local))


def _read_pkl(local: str) -> object:
    with open(local, "rb") as file:
        return read_array_pickle(file)


def _read_safetensors(local: str) -> dict:
    with safe_open(local, framework="pt") as file:
        metadata = {key: _plain(value) for key, value in (file.metadata() or {}).items()}
        return {**metadata, "model": {name: file.get_tensor(name) for name in file.keys()}}


def _plain(text: str) -> object:
    """Decodes a value: safetensors stores strings only, :func:`write_weight_file` writes others as JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _run_pickle(path: str, local: str) -> object:
    try:
        if _is_old_pickle(local):
            with open(local, "rb") as file:
                return pickle.load(file, encoding="latin1")
        return torch.load(local, map_location="cpu", weights_only=False)
    except Exception as error:  # code of the file runs here
        raise InputError(f"{path} cannot be unpickled ({_first_line(error)})") from error


def write_weight_file(path: str, weights: Mapping[str, Tensor], **metadata: object) -> None:
    """Writes weights atomically.

    Args:
        path: ``.safetensors`` file, or PyTorch's format for any other ending.
        weights: Tensors by name.
        **metadata: Plain values to store next to them.

    Raises:
        InputError: If the file cannot be written, see :func:`solo_d2.utils.atomic_file.atomic_write`.
    """
    if not path.endswith(SAFETENSORS):
        save_atomically({"model": dict(weights), **metadata}, path)
        return
    tensors = {name: value.contiguous() for name, value in weights.items()}
    texts = {key: json.dumps(value) for key, value in metadata.items()}
    with atomic_write(path, _WRITE_ERRORS) as temporary:
        with open(temporary, "wb") as file:
            mode = os.fstat(file.fileno()).st_mode
        save_file(tensors, temporary, texts)
        os.chmod(temporary, mode)  # safetensors makes files for the owner only


def save_atomically(data: dict, path: str) -> None:
    """``torch.save``, see :func:`solo_d2.utils.atomic_file.atomic_write`."""
    with atomic_write(path, _WRITE_ERRORS) as temporary, open(temporary, "wb") as file:
        torch.save(data, file)


def local_file(path: str) -> str:
    """Returns the file behind a path, or behind an address after downloading it.

    Raises:
        InputError: If there is none.
    """
    if is_address(path):
        try:
            return fetch_address(path)
        except InputError:
            raise
        except Exception as error:  # the remedy is the same for all errors of handlers
            raise InputError(
                f"{path} could not be downloaded ({_first_line(error)}). Download it elsewhere "
                "and give the path of the file instead."
            ) from error
    if not os.path.isfile(path):
        raise InputError(f"weight file {path} does not exist: check its path")
    return path


def _forbidden(error: Exception) -> str:
    """Returns the Python object that a pickle asked for; "" if it is damaged instead."""
    if isinstance(error, ForbiddenObject):
        return str(error)
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    return f"the Python object {named[1]}" if named else ""


def _refusal(path: str, local: str, error: Exception) -> str:
    wanted = _forbidden(error)
    if not wanted:
        return _damage(path, local, error)
    return (
        f"{path} cannot be read without running code: it asks for {wanted}. If you trust its origin, "
        "convert it once with `solo-d2 convert --allow-pickle`"
    )


def _damage(path: str, local: str, error: Exception) -> str:
    with open(local, "rb") as file:
        start = file.read(64).lstrip()
    for beginning, what in _IMPOSTORS:
        if start.startswith(beginning):
            return f"{_named(path, local)} is no weight file but {what}"
    return (
        f"{_named(path, local)} cannot be read as a checkpoint ({_first_line(error)}): it is truncated, "
        "damaged or no weight file. Copy it again or choose another one"
    )


def _named(path: str, local: str) -> str:
    """Names a file for messages; a downloaded one with its cached copy, which must go if it is bad."""
    return path if local == path else f"{path} (delete {local} to fetch it again)"


def _first_line(error: Exception) -> str:
    """Returns the start of an error's text, short enough for one line."""
    text = (str(error) or type(error).__name__).splitlines()[0]
    return text.split(". ")[0][:120].rstrip(".")
