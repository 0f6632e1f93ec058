"""``solo_d2://`` addresses of published files, for everything that goes through Detectron2's PathManager."""

from pathlib import Path, PurePosixPath

from iopath.common.file_io import get_cache_dir

from detectron2.utils.file_io import PathHandler, PathManager

from .catalogue import PREFIX, PublishedFile, load_catalogue
from .download import download


def cached_path(published: PublishedFile) -> Path:
    """Returns where a published file is kept on this machine: in iopath's cache.

    The environment variable ``FVCORE_CACHE`` moves the cache.
    """
    folder = published.name.partition("/")[0]
    return Path(get_cache_dir()) / "solo_d2" / folder / PurePosixPath(published.file).name


class PublishedFileHandler(PathHandler):
    """A handler of ``solo_d2://<name>`` that downloads the file on first use."""

    def _get_supported_prefixes(self):
        return [PREFIX]

    def _get_local_path(self, path, force=False, **kwargs):
        published = load_catalogue().find(path.removeprefix(PREFIX))
        target = cached_path(published)
        if force:
            target.unlink(missing_ok=True)
        return str(download(published.url, target, published.sha256_start))

    def _isfile(self, path, **kwargs):
        return path.removeprefix(PREFIX) in load_catalogue().models | load_catalogue().backbones

    _exists = _isfile

    def _open(self, path, mode="r", buffering=-1, **kwargs):
        if "r" not in mode:
            raise PermissionError(f"{path} can only be read")
        return open(self._get_local_path(path), mode, buffering)


def register_prefix() -> None:
    """Registers ``solo_d2://`` in Detectron2's PathManager; calling it again changes nothing."""
    PathManager.register_handler(PublishedFileHandler(), allow_override=True)
