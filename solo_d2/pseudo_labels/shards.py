"""Labels of many images in shards that are written atomically and detect damage."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from solo_d2.data.image_paths import ImagePaths
from solo_d2.utils.atomic_file import write_text
from solo_d2.utils.errors import InputError
from solo_d2.utils.hashing import hash_value
from solo_d2.utils.json_file import write_json

from .files import describe_changes, read_object

logger = logging.getLogger(__name__)

CATEGORY = {"id": 1, "name": "object"}
_SETTINGS = "settings.json"
# End of a merged file.
_END = b"]}\n"


@dataclass
class Shard:
    """Labels of some images.

    Attributes:
        images: COCO image records (id, file_name, height, width).
        annotations: COCO annotations without "id".
        skipped: One line per image that could not be read.
    """

    images: list[dict] = field(default_factory=list)
    annotations: list[dict] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


class ShardStore:
    """A folder with the settings and the finished shards.

    Attributes:
        folder: Path of the store.
        settings: Everything that the labels depend on, including the list of images.
        num_shards: Total number of shards.
    """

    def __init__(
        self, folder: str | os.PathLike, settings: Mapping[str, object], images: ImagePaths, shard_size: int
    ):
        self.folder = Path(folder)
        self.settings = dict(settings)
        self.num_shards = -(-len(images) // shard_size)
        self._images = images
        self._shard_size = shard_size
        self._key = hash_value(self.settings)

    @classmethod
    def open(
        cls, folder: str | os.PathLike, settings: Mapping[str, object], images: ImagePaths, shard_size: int
    ) -> "ShardStore":
        """Opens the store of these settings, or creates it.

        Raises:
            InputError: If the folder was made with other settings.
        """
        store = cls(folder, settings, images, shard_size)
        before = read_object(store.folder / _SETTINGS)
        if before is None:
            write_json(store.folder / _SETTINGS, store.settings)
        changes = describe_changes(before, settings) if before else ""
        if changes:
            raise InputError(
                f"{folder} holds unfinished labels made with other settings ({changes}): "
                "name another output, or remove that folder"
            )
        return store

    def images_of(self, shard: int) -> list[tuple[int, str]]:
        """Returns the COCO id and file name of each of a shard's images."""
        part = slice(shard * self._shard_size, (shard + 1) * self._shard_size)
        return list(zip(self._images.ids[part], self._images.names[part], strict=True))

    def write(self, shard: int, content: Shard) -> None:
        """Writes a finished shard, preceded by the digest of its bytes."""
        body = json.dumps(vars(content), separators=(",", ":"))
        header = {"settings": self._key, "sha256": hashlib.sha256(body.encode()).hexdigest()}
        write_text(self._file(shard), [json.dumps(header), "\n", body])

    def read(self, shard: int) -> Shard | None:
        """Reads a finished shard; None if it is missing, damaged, incomplete, or of other settings."""
        try:
            header, _, body = self._file(shard).read_bytes().partition(b"\n")
            head = json.loads(header)
            intact = head["sha256"] == hashlib.sha256(body).hexdigest() and head["settings"] == self._key
            return Shard(**json.loads(body)) if intact else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def missing(self, part: int = 0, parts: int = 1) -> list[int]:
        """Returns missing or damaged shards among those whose number is ``part`` modulo ``parts``."""
        missing = []
        for shard in range(part, self.num_shards, parts):
            if self.read(shard) is None:
                missing.append(shard)
                if self._file(shard).exists():
                    logger.warning("%s is damaged and will be rebuilt", self._file(shard))
        return missing

    def forget(self, shards: Iterable[int]) -> None:
        """Deletes finished shards, which are then missing."""
        for shard in shards:
            self._file(shard).unlink(missing_ok=True)

    def merge(self, output: str | os.PathLike, counts: Mapping[str, int] | None = None) -> None:
        """Writes all shards as one COCO JSON, one shard in memory at a time; annotation ids count from 1.

        Args:
            output: The file to write.
            counts: Its counts, for :func:`read_counts`.
        """
        write_text(output, self._coco_text({"settings": self.settings, "counts": dict(counts or {})}))

    def remove(self) -> None:
        """Deletes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, shard: int) -> Path:
        return self.folder / f"{shard:06d}.json"

    def contents(self) -> Iterator[Shard]:
        """Yields all shards in order, one in memory at a time.

        Raises:
            InputError: If a shard is missing or damaged.
        """
        for shard in range(self.num_shards):
            content = self.read(shard)
            if content is None:
                raise InputError(f"{self._file(shard)} is missing or damaged: run the same command again")
            yield content

    def _coco_text(self, info: dict) -> Iterator[str]:
        """Yields the file piece by piece; its first line has the settings, see :func:`read_settings`."""
        yield json.dumps({"info": info})[:-1] + ",\n"
        yield f'"categories": {json.dumps([CATEGORY])},\n"images": ['
        yield from _listed(image for shard in self.contents() for image in shard.images)
        yield '],\n"annotations": ['
        found = (annotation for shard in self.contents() for annotation in shard.annotations)
        yield from _listed({"id": number, **one} for number, one in enumerate(found, start=1))
        yield _END.decode()


def read_settings(labels: str | os.PathLike) -> dict[str, object] | None:
    """Returns the settings of a finished label file; None if it has none or is truncated.

    Reads only its first line and its end.
    """
    return _read_info(labels).get("settings")


def read_counts(labels: str | os.PathLike) -> dict[str, int] | None:
    """Returns the numbers of images, masks and skipped images in a finished label file; None if unknown."""
    return _read_info(labels).get("counts") or None


def _read_info(labels: str | os.PathLike) -> dict:
    with open(labels, "rb") as file:
        first = file.readline()
        file.seek(-min(len(_END), file.seek(0, os.SEEK_END)), os.SEEK_END)
        whole = file.read() == _END
    try:
        info = json.loads(first.rstrip().removesuffix(b",") + b"}")["info"]
    except (ValueError, KeyError, TypeError):
        return {}
    return info if whole and isinstance(info, dict) else {}


def _listed(items: Iterator[dict]) -> Iterator[str]:
    """Yields JSON objects with commas between them, one per line."""
    separator = "\n"
    for item in items:
        yield separator + json.dumps(item)
        separator = ",\n"
