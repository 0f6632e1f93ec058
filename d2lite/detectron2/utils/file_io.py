"""The one path manager: local files, ``http(s)://`` and ``detectron2://`` addresses."""

from iopath.common.file_io import HTTPURLHandler, PathHandler
from iopath.common.file_io import PathManager as PathManagerBase

__all__ = ["PathHandler", "PathManager"]


class Detectron2Handler(PathHandler):
    """Resolves ``detectron2://`` to Detectron2's public model store; files are cached locally."""

    PREFIX = "detectron2://"
    S3_DETECTRON2_PREFIX = "https://dl.fbaipublicfiles.com/detectron2/"

    def _get_supported_prefixes(self):
        return [self.PREFIX]

    def _get_local_path(self, path, **kwargs):
        url = self.S3_DETECTRON2_PREFIX + path[len(self.PREFIX) :]
        return PathManager.get_local_path(url, **kwargs)

    def _open(self, path, mode="r", **kwargs):
        return PathManager.open(self._get_local_path(path), mode, **kwargs)


PathManager = PathManagerBase()
PathManager.register_handler(HTTPURLHandler())
PathManager.register_handler(Detectron2Handler())
