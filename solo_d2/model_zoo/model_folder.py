"""A model as a folder that needs nothing else: weights, config, and a page about it."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml
from torch import nn

from detectron2.config import CfgNode
from detectron2.data import Metadata
from solo_d2.checkpoint import write_weight_file
from solo_d2.checkpoint.model_card import CARD_KEY
from solo_d2.checkpoint.native import PREPROCESSING_KEY
from solo_d2.config import get_cfg
from solo_d2.config.loading import flatten
from solo_d2.engine.dataset_checks import STUFF_COUNT_KEY, class_count_key, meta_architecture
from solo_d2.engine.model_card import card_of
from solo_d2.engine.weights import preprocessing_of
from solo_d2.utils.atomic_file import write_text
from solo_d2.utils.errors import InputError

from .catalogue import load_catalogue
from .hub import HubFile, fetch_file
from .model_page import model_page

CONFIG_NAME = "config.yaml"
WEIGHTS_NAME = "model.safetensors"
PAGE_NAME = "README.md"
FILES = (CONFIG_NAME, WEIGHTS_NAME, PAGE_NAME)
# What prediction reads; keys of one machine or of training stay out.
_GROUPS = ("MODEL", "INPUT", "TEST")
_OWN_TO_A_RUN = ("MODEL.WEIGHTS", "MODEL.DEVICE")


def find_model(name: str | os.PathLike, revision: str = "main", token: str | None = None) -> tuple[str, str]:
    """Returns config and weights of a folder, or of a repository of the Hugging Face Hub.

    Args:
        name: A folder of :func:`save_model`, or "owner/name".
        revision: Branch, tag or commit of a repository.
        token: See :func:`~solo_d2.model_zoo.hub.fetch_file`.

    Raises:
        InputError: There is no such model, or it cannot be fetched.
    """
    name = os.fspath(name)
    if not os.path.isdir(name):
        if name in load_catalogue().models:
            raise InputError(f'{name} is a published model of the zoo: load it with Predictor("{name}")')
        config, weights = (
            fetch_file(HubFile(name, part, revision), token=token) for part in (CONFIG_NAME, WEIGHTS_NAME)
        )
        return str(config), str(weights)
    paths = [os.path.join(name, part) for part in (CONFIG_NAME, WEIGHTS_NAME)]
    for path in paths:
        if not os.path.isfile(path):
            raise InputError(f"{path} does not exist: {name} is no folder of save_pretrained")
    return paths[0], paths[1]


def save_model(
    folder: str | os.PathLike,
    cfg: CfgNode,
    model: nn.Module,
    classes: Metadata,
    *,
    license: str = "",
    metrics: Mapping[str, float | None] | None = None,
    name: str = "",
) -> dict[str, Path]:
    """Writes the files of a model.

    Args:
        folder: Folder, created if needed.
        cfg: Config of the model.
        model: The model.
        classes: Names and category ids of its classes.
        license: License identifier, such as "apache-2.0"; "" to state none.
        metrics: Results to state, such as {"segm/AP": 37.5}.
        name: Title of the page and the name to load the model by; "" for the folder.

    Returns:
        The files by name.

    Raises:
        InputError: The norms of the model are folded, there are names of more or fewer classes than it has,
            or a file cannot be written.
    """
    if cfg.MODEL.INFERENCE.FOLD_NORM:
        raise InputError(
            "the norms of this model are folded into its convolutions: load it without "
            "MODEL.INFERENCE.FOLD_NORM to save it"
        )
    target = Path(folder)
    _refuse_other_classes(cfg, classes)
    card = card_of(cfg, classes)
    if cfg.TEST.CLASS_AGNOSTIC:  # then one class stands for those of the model
        card = replace(card, categories=())
    settings = changed_settings(cfg)
    page = model_page(name or target.name, cfg, card, license, metrics or {})
    write_text(target / CONFIG_NAME, [yaml.safe_dump(settings, sort_keys=True)])
    weights = {key: value.detach().cpu() for key, value in model.state_dict().items()}
    facts = {CARD_KEY: card.as_dict(), PREPROCESSING_KEY: preprocessing_of(cfg).as_dict()}
    write_weight_file(str(target / WEIGHTS_NAME), weights, **facts)
    write_text(target / PAGE_NAME, [page])
    return {part: target / part for part in FILES}


def _refuse_other_classes(cfg: CfgNode, classes: Metadata) -> None:
    """Raises ``InputError`` for names of more or fewer classes than the model has; none are fine."""
    settings = flatten(cfg)
    for kind, key in (("thing", class_count_key(cfg)), ("stuff", STUFF_COUNT_KEY)):
        names = classes.get(f"{kind}_classes")
        used = key and (kind == "thing" or meta_architecture(cfg).is_panoptic)
        if names and used and not cfg.TEST.CLASS_AGNOSTIC and len(names) != settings[key]:
            raise InputError(
                f"the predictor's metadata names {len(names)} classes, {key} is {settings[key]}: correct its "
                f"{kind}_classes, or set none"
            )


def changed_settings(cfg: CfgNode) -> dict:
    """Returns what prediction reads of a config, where it differs from the defaults, as nested dicts."""
    defaults = flatten(get_cfg())
    settings: dict = {}
    for key, value in flatten(cfg).items():
        group = key.partition(".")[0]
        if group not in _GROUPS or key in _OWN_TO_A_RUN or (key in defaults and defaults[key] == value):
            continue
        *path, leaf = key.split(".")
        node = settings
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = value
    return settings
