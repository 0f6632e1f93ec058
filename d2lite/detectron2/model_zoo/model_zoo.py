"""The functions of Detectron2's model zoo, which all raise ``RuntimeError`` here.

Tools import these names at their start and treat the error as "not in the zoo": the models of the zoo
need ROI heads, RPN or RetinaNet, which only the real Detectron2 has.
"""

from typing import NoReturn


def _refuse(config_path: str) -> NoReturn:
    raise RuntimeError(
        f"{config_path} is not available in d2lite, which has no model zoo: install the real Detectron2, "
        "or choose a model of solo_d2.model_zoo."
    )


def get_checkpoint_url(config_path: str) -> NoReturn:
    """Raises RuntimeError; the real one returns the address of a model's weights."""
    _refuse(config_path)


def get_config_file(config_path: str) -> NoReturn:
    """Raises RuntimeError; the real one returns the path of a built-in config file."""
    _refuse(config_path)


def get_config(config_path: str, trained: bool = False) -> NoReturn:
    """Raises RuntimeError; the real one returns the config of a built-in config file."""
    _refuse(config_path)


def get(config_path: str, trained: bool = False, device: str | None = None) -> NoReturn:
    """Raises RuntimeError; the real one returns a model, trained or not."""
    _refuse(config_path)
