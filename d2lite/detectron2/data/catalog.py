"""Two global tables: the loading function and the metadata of each dataset, by its name."""

from collections import UserDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class _DatasetCatalog(UserDict):
    """Maps a dataset's name to a function without arguments that returns ``list[dict]``."""

    def register(self, name: str, func: Callable[[], list[dict]]) -> None:
        """Registers ``func`` as the loader of dataset ``name``.

        Raises:
            AssertionError: ``func`` is not callable, or the name is taken.
        """
        assert callable(func), f"The loader of dataset '{name}' must be a function, not {func!r}."
        assert name not in self, f"Dataset '{name}' is already registered!"
        self[name] = func

    def get(self, name: str) -> list[dict]:  # type: ignore[override]
        """Loads dataset ``name``.

        Raises:
            KeyError: No such dataset; the message lists the registered ones.
        """
        if name not in self:
            known = ", ".join(sorted(self)) or "none"
            raise KeyError(f"Dataset '{name}' is not registered! Available datasets are: {known}")
        return self[name]()

    def list(self) -> list[str]:
        return list(self.keys())

    def remove(self, name: str) -> None:
        self.pop(name)


class Metadata(SimpleNamespace):
    """Facts about one dataset (class names, colors, file locations) as attributes.

    Overwriting an attribute with a different value raises AssertionError, so that two parts of a
    program cannot silently disagree about a dataset.
    """

    name: str = "N/A"

    def __getattr__(self, key: str) -> Any:
        have = ", ".join(sorted(self.__dict__)) or "nothing"
        raise AttributeError(
            f"Attribute '{key}' does not exist in the metadata of dataset '{self.name}': it has {have}."
        )

    def __setattr__(self, key: str, value: Any) -> None:
        if key in self.__dict__ and self.__dict__[key] != value:
            raise AssertionError(
                f"Attribute '{key}' in the metadata of '{self.name}' cannot be set to a different "
                f"value!\n{self.__dict__[key]} != {value}"
            )
        super().__setattr__(key, value)

    def as_dict(self) -> dict:
        """Returns a copy; changing it does not change the metadata."""
        return dict(self.__dict__)

    def set(self, **kwargs: Any) -> "Metadata":
        """Sets several attributes and returns itself."""
        for key, value in kwargs.items():
            setattr(self, key, value)
        return self

    def get(self, key: str, default: Any = None) -> Any:
        """Returns an attribute, or ``default`` if it is absent."""
        return self.__dict__.get(key, default)


class _MetadataCatalog(UserDict):
    """Maps a dataset's name to its ``Metadata``, created by the first ``get``."""

    def get(self, name: str) -> Metadata:  # type: ignore[override]
        """Returns the metadata of dataset ``name``."""
        assert name, "MetadataCatalog.get needs the name of a dataset, got an empty one."
        if name not in self:
            self[name] = Metadata(name=name)
        return self[name]

    def list(self) -> list[str]:
        return list(self.keys())

    def remove(self, name: str) -> None:
        self.pop(name)


DatasetCatalog = _DatasetCatalog()
MetadataCatalog = _MetadataCatalog()
