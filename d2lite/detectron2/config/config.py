"""``CfgNode`` (fvcore's, reading through the path manager) and the ``configurable`` decorator."""

import functools
import inspect
import logging
from collections.abc import Callable
from typing import IO, Any

from fvcore.common.config import CfgNode as _CfgNode

from detectron2.utils.file_io import PathManager


class CfgNode(_CfgNode):
    """A tree of configuration values; merging refuses unknown keys."""

    @classmethod
    def _open_cfg(cls, filename: str) -> IO:
        return PathManager.open(filename, "r")

    def merge_from_file(self, cfg_filename: str, allow_unsafe: bool = True) -> None:
        """Merges a YAML file, after the file named by its ``_BASE_``.

        Args:
            cfg_filename: Path of the YAML file.
            allow_unsafe: Whether YAML tags may build Python objects.

        Raises:
            AssertionError: The file does not exist.
            KeyError: The file has an unknown key.
            ValueError: A value has a different type than the default, or the file has a different
                ``VERSION``.
        """
        assert PathManager.isfile(cfg_filename), f"Config file '{cfg_filename}' does not exist!"
        loaded = type(self)(self.load_yaml_with_base(cfg_filename, allow_unsafe=allow_unsafe))
        version = loaded.get("VERSION", self.get("VERSION"))
        if version != self.get("VERSION"):
            raise ValueError(
                f"Config file '{cfg_filename}' has VERSION {version}, d2lite reads VERSION "
                f"{self.get('VERSION')}: convert it with the real Detectron2's upgrade_config."
            )
        logging.getLogger(__name__).debug("Merging config file %s", cfg_filename)
        self.merge_from_other_cfg(loaded)


def get_cfg() -> CfgNode:
    """Returns a copy of the default configuration."""
    from .defaults import _C

    return _C.clone()


def configurable(init_func: Callable | None = None, *, from_config: Callable | None = None) -> Any:
    """Lets a class or a function be called with a config instead of explicit arguments.

    ``from_config`` maps a config (and further arguments) to the dict of explicit arguments. If the
    first positional argument, or the argument ``cfg``, is a ``CfgNode``, it is a call with a config.
    Arguments that ``from_config`` does not accept override its result::

        class Head(nn.Module):
            @configurable
            def __init__(self, width, depth=2): ...

            @classmethod
            def from_config(cls, cfg): return {"width": cfg.WIDTH}

        Head(width=8), Head(cfg), Head(cfg, depth=3)

        @configurable(from_config=lambda cfg: {"width": cfg.WIDTH})
        def build_head(width, depth=2): ...

    Args:
        init_func: The ``__init__`` of a class that has a ``from_config`` classmethod.
        from_config: The ``from_config`` of a function, for the second form.

    Raises:
        AttributeError: At the call, if the class has no ``from_config``.
        TypeError: ``from_config`` is not a method, or its first argument is not ``cfg``.
    """
    if init_func is not None:
        is_init = inspect.isfunction(init_func) and init_func.__name__ == "__init__"
        assert is_init and from_config is None, (
            "Incorrect use of @configurable: decorate __init__, or pass from_config=... by keyword."
        )
        return _configurable_init(init_func)
    if from_config is None:
        return configurable
    assert inspect.isfunction(from_config), "from_config of @configurable must be a function!"
    return functools.partial(_configurable_function, from_config=from_config)


def _configurable_init(init_func: Callable) -> Callable:
    @functools.wraps(init_func)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            from_config_func = type(self).from_config
        except AttributeError as error:
            raise AttributeError("Class with @configurable must have a 'from_config' classmethod.") from error
        if not inspect.ismethod(from_config_func):
            raise TypeError("Class with @configurable must have a 'from_config' classmethod.")
        if _called_with_cfg(*args, **kwargs):
            init_func(self, **_get_args_from_config(from_config_func, *args, **kwargs))
        else:
            init_func(self, *args, **kwargs)

    return wrapped


def _configurable_function(function: Callable, from_config: Callable) -> Callable:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if _called_with_cfg(*args, **kwargs):
            return function(**_get_args_from_config(from_config, *args, **kwargs))
        return function(*args, **kwargs)

    wrapped.from_config = from_config  # type: ignore[attr-defined]
    return wrapped


def _called_with_cfg(*args: Any, **kwargs: Any) -> bool:
    return isinstance(args[0] if args else kwargs.get("cfg"), _CfgNode)


def _get_args_from_config(from_config_func: Callable, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Calls ``from_config`` with the arguments it accepts; the others override its result."""
    parameters = inspect.signature(from_config_func).parameters
    if next(iter(parameters), None) != "cfg":
        owner = from_config_func.__qualname__
        raise TypeError(f"{owner} must take 'cfg' as the first argument!")
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    if any(parameter.kind in variadic for parameter in parameters.values()):
        return from_config_func(*args, **kwargs)
    accepted = {name: value for name, value in kwargs.items() if name in parameters}
    explicit = from_config_func(*args, **accepted)
    explicit.update((name, value) for name, value in kwargs.items() if name not in parameters)
    return explicit
