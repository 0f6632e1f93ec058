"""The published files in ``models.json``: contents, addresses, and published results."""

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from solo_d2.utils.errors import InputError, suggestion
from solo_d2.utils.json_file import read_json

# Prefix of the files' addresses, as in MODEL.WEIGHTS solo_d2://mmdet/solov2_R50_3x.
PREFIX = "solo_d2://"
_FILE = Path(__file__).with_name("models.json")
# Beginning of the file's SHA-256, which publishers put into the name.
_HASH = re.compile(r"-([0-9a-f]{8,64})\.\w+$")


@dataclass(frozen=True)
class Source:
    """A publisher.

    Attributes:
        title: Its name.
        repository: Address of its code.
        results: Page of the repository with the results.
        files: Prefix of the addresses of its files.
        license: License of its files, if stated.
    """

    title: str
    repository: str
    results: str
    files: str
    license: str


@dataclass(frozen=True)
class PublishedFile:
    """A trained model, or a backbone to train from.

    Attributes:
        name: Source and own name, such as "mmdet/solov2_R50_3x"; for a model also its config below ``zoo/``.
        source: The publisher.
        file: The rest of the file's address after the publisher's ``files``.
        backbone: Name such as "R50" or "R101-DCN".
        method: Name such as "SOLOv2 light"; "" for a backbone.
        schedule: "1x" or "3x"; for a backbone, how it was trained.
        published_ap: COCO val2017 mask AP, or VOC box AP for a backbone; None if not stated.
        size_mib: Size of the file in MiB; None if not known.
        sha256: Its SHA-256; "" if not known, or not in full.
    """

    name: str
    source: Source
    file: str
    backbone: str
    method: str
    schedule: str
    published_ap: float | None
    size_mib: float | None = None
    sha256: str = ""

    @property
    def url(self) -> str:
        return self.source.files + self.file

    @property
    def address(self) -> str:
        """The address for MODEL.WEIGHTS."""
        return PREFIX + self.name

    @property
    def sha256_start(self) -> str:
        """The known beginning of the SHA-256, perhaps all of it: stated, or in the name; "" for none."""
        found = _HASH.search(self.file)
        return self.sha256 or (found[1] if found else "")


@dataclass(frozen=True)
class Catalogue:
    """All published files, by kind and in the order of ``models.json``."""

    sources: dict[str, Source]
    models: dict[str, PublishedFile]
    backbones: dict[str, PublishedFile]

    def find(self, name: str) -> PublishedFile:
        """Returns a file by name.

        Raises:
            InputError: If it does not exist; the message suggests the nearest names.
        """
        files = self.models | self.backbones
        if name in files:
            return files[name]
        hint = suggestion(name, files, "docs/MODEL_ZOO.md lists them", most=3)
        raise InputError(f"there is no published model {name}{hint}")


@functools.cache
def load_catalogue() -> Catalogue:
    """Reads ``models.json``."""
    content = read_json(_FILE, "catalogue")
    sources = {name: Source(**values) for name, values in content["sources"].items()}

    def entry(values: dict, method: str, schedule: str, ap: float | None) -> PublishedFile:
        name = values["name"]
        return PublishedFile(
            name=name,
            source=sources[name.partition("/")[0]],
            file=values["file"],
            backbone=values["backbone"],
            method=method,
            schedule=schedule,
            published_ap=ap,
            size_mib=values.get("size_mib"),
            sha256=values.get("sha256", ""),
        )

    models = [entry(v, v["method"], v["schedule"], v["mask_ap"]) for v in content["models"]]
    backbones = [entry(v, "", v["training"], v["voc_box_ap"]) for v in content["backbones"]]
    return Catalogue(sources, {m.name: m for m in models}, {b.name: b for b in backbones})


def architecture_of(published: PublishedFile) -> str:
    """Returns method and backbone, which models that differ only in their training share."""
    return f"{published.method} {published.backbone}"


def architectures() -> dict[str, str]:
    """Returns each architecture with the first published model that has it."""
    found: dict[str, str] = {}
    for model in load_catalogue().models.values():
        found.setdefault(architecture_of(model), model.name)
    return found
