"""The instances of one image: named fields of a common length."""

import itertools
from typing import Any, NoReturn

import torch


class Instances:
    """Fields of N instances, accessible as attributes.

    A field is anything with a length and, for indexing, ``__getitem__``: a tensor whose first axis is
    N, Boxes, masks, a list. Attributes that start with ``_`` are not fields.
    """

    def __init__(self, image_size: tuple[int, ...], **kwargs: Any):
        """
        Args:
            image_size: (height, width) of the image.
            kwargs: Initial fields.
        """
        self._image_size: Any = image_size
        self._fields: dict[str, Any] = {}
        for name, value in kwargs.items():
            self.set(name, value)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        return self._image_size

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            self.set(name, value)

    def __getattr__(self, name: str) -> Any:
        if name == "_fields" or name not in self._fields:
            raise AttributeError(f"Cannot find field '{name}' in the given Instances!")
        return self._fields[name]

    def set(self, name: str, value: Any) -> None:
        """Sets field ``name``, whose length must be the number of instances."""
        if self._fields:
            assert len(self) == len(value), (
                f"Adding a field of length {len(value)} to Instances of length {len(self)}"
            )
        self._fields[name] = value

    def has(self, name: str) -> bool:
        return name in self._fields

    def remove(self, name: str) -> None:
        del self._fields[name]

    def get(self, name: str) -> Any:
        return self._fields[name]

    def get_fields(self) -> dict[str, Any]:
        """Returns the dict of fields itself, not a copy."""
        return self._fields

    def to(self, *args: Any, **kwargs: Any) -> "Instances":
        """Returns new Instances; fields with a method ``to`` are moved."""
        moved = Instances(self._image_size)
        for name, value in self._fields.items():
            moved.set(name, value.to(*args, **kwargs) if hasattr(value, "to") else value)
        return moved

    def __getitem__(self, item: int | slice | torch.Tensor) -> "Instances":
        """Selects instances by int (one), slice, or index or bool tensor."""
        if isinstance(item, int):
            if not -len(self) <= item < len(self):
                raise IndexError("Instances index out of range!")
            item = slice(item, None, len(self))
        selected = Instances(self._image_size)
        for name, value in self._fields.items():
            selected.set(name, value[item])
        return selected

    def __len__(self) -> int:
        for value in self._fields.values():
            return len(value)
        raise NotImplementedError("Empty Instances does not support __len__!")

    def __iter__(self) -> NoReturn:
        raise NotImplementedError("`Instances` object is not iterable!")

    @staticmethod
    def cat(instance_lists: list["Instances"]) -> "Instances":
        """Concatenates instances with the same image size and the same fields.

        Raises:
            ValueError: The type of a field cannot be concatenated.
        """
        assert instance_lists and all(isinstance(one, Instances) for one in instance_lists)
        if len(instance_lists) == 1:
            return instance_lists[0]
        first = instance_lists[0]
        assert all(one.image_size == first.image_size for one in instance_lists[1:])
        joined = Instances(first.image_size)
        for name in first._fields:
            values = [one.get(name) for one in instance_lists]
            if isinstance(values[0], torch.Tensor):
                joined.set(name, torch.cat(values, dim=0))
            elif isinstance(values[0], list):
                joined.set(name, list(itertools.chain(*values)))
            elif hasattr(type(values[0]), "cat"):
                joined.set(name, type(values[0]).cat(values))
            else:
                raise ValueError(f"Unsupported type {type(values[0])} of field '{name}' for concatenation")
        return joined

    def __str__(self) -> str:
        count = len(self) if self._fields else 0
        height, width = self._image_size
        fields = ", ".join(f"{name}: {value}" for name, value in self._fields.items())
        return (
            f"Instances(num_instances={count}, image_height={height}, image_width={width}, fields=[{fields}])"
        )

    __repr__ = __str__
