"""SHA-256 of files and of plain values, as hexadecimal text."""

import hashlib
import json
import os

_BLOCK = 1 << 20  # bytes


def hash_file(path: str | os.PathLike) -> str:
    """Returns the SHA-256 of a file's bytes, read block by block."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def hash_bytes(content: bytes) -> str:
    """Returns the SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def hash_value(value: object) -> str:
    """Returns the SHA-256 of a value made of JSON's types, in any order of keys; tuples count as lists."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
