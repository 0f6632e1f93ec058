"""Configs and models by name."""

from difflib import get_close_matches
from pathlib import Path

import torch

from detectron2.config import CfgNode
from detectron2.modeling import build_model
from solo_d2.config import get_cfg
from solo_d2.engine.weights import build_checkpointer
from solo_d2.utils.errors import InputError

from .catalogue import load_catalogue

_FOLDER = Path(__file__).resolve().parent
# Beside this file in an installed package, at the top of the repository in a checkout.
_HOMES = (_FOLDER / "configs", _FOLDER.parents[1] / "configs")


def config_file(name: str) -> Path:
    """The file of a named config.

    Args:
        name: a published model, such as "mmdet/solov2_R50_3x", or a path below ``configs/`` with or without
            ".yaml", such as "SOLOv2/solov2_R50_3x".

    Raises:
        InputError: there is none; with the nearest names there are.
    """
    home = next((path for path in _HOMES if path.is_dir()), None)
    if home is None:
        raise InputError(f"the configs are not at {_HOMES[0]}: install solo_d2 again")
    stem = name.removesuffix(".yaml")
    for candidate in (home / "zoo" / f"{stem}.yaml", home / f"{stem}.yaml"):
        if candidate.is_file() and candidate.is_relative_to(home):
            return candidate
    known = [path.relative_to(home).with_suffix("").as_posix() for path in home.rglob("*.yaml")]
    names = [name.removeprefix("zoo/") for name in known if "/Base-" not in name]
    close = get_close_matches(stem, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "docs/MODEL_ZOO.md lists them"
    raise InputError(f"there is no config {name}: {hint}")


def get_config(name: str) -> CfgNode:
    """The config of a published model or of a training recipe; see :func:`config_file`.

    MODEL.WEIGHTS of a published model is its own file, fetched on first use.
    """
    cfg = get_cfg()
    cfg.merge_from_file(str(config_file(name)))
    return cfg


def get(name: str, pretrained: bool = True, device: str | torch.device | None = None) -> torch.nn.Module:
    """Builds a model.

    Args:
        name: a published model, also as its config's path; with ``pretrained`` False any config, see
            :func:`config_file`.
        pretrained: load the published weights, all of them; otherwise random ones.
        device: where to; the first GPU, or the CPU without one, where None.

    Returns:
        The model in evaluation mode.

    Raises:
        InputError: an unknown name, or a file that cannot be fetched.
    """
    cfg = get_config(name)
    published = load_catalogue().find(name.removeprefix("zoo/").removesuffix(".yaml")) if pretrained else None
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    cfg.merge_from_list(["MODEL.DEVICE", str(chosen)])
    model = build_model(cfg).eval()
    if published:
        build_checkpointer(cfg, model, exact=True).load(published.address)
    return model
