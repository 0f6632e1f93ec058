"""The classes of a model: stored with its weights in training, and read back by whoever uses them."""

from collections.abc import Collection
from urllib.parse import urlparse

from detectron2.config import CfgNode
from detectron2.data import Metadata, MetadataCatalog
from solo_d2.checkpoint import Category, ModelCard, read_weight_file
from solo_d2.data.datasets.panoptic_format import number_classes
from solo_d2.data.mappers.panoptic import panoptic_labels
from solo_d2.utils.errors import InputError
from solo_d2.utils.version import __version__

from .dataset_checks import STUFF_COUNT_KEY, class_count_key, meta_architecture, method_name, method_node

_THRESHOLDS = ("SCORE_THR", "UPDATE_THR", "INFERENCE_TH_TEST")  # of a method's node
_OLD_PICKLE = ".pkl"


def training_card(cfg: CfgNode) -> ModelCard:
    """Returns the card of the model that a config trains; its data sets must have been loaded."""
    return _card(cfg, _trained_categories(cfg))


def score_thresholds(cfg: CfgNode) -> dict[str, float]:
    """Returns the score thresholds of a config's model, by key."""
    node = method_node(cfg)
    thresholds = {f"MODEL.{method_name(cfg)}.{key}": float(node[key]) for key in _THRESHOLDS if key in node}
    if meta_architecture(cfg).is_panoptic:
        key = "INSTANCES_CONFIDENCE_THRESH"
        thresholds[f"MODEL.PANOPTIC_FPN.COMBINE.{key}"] = float(cfg.MODEL.PANOPTIC_FPN.COMBINE[key])
    return thresholds


def _trained_categories(cfg: CfgNode) -> tuple[Category, ...]:
    """Returns the classes of DATASETS.TRAIN in the model's order; none for a model without classes."""
    architecture = meta_architecture(cfg)
    if architecture.evaluator_types is not None or not cfg.DATASETS.TRAIN:
        return ()
    return categories_of(MetadataCatalog.get(cfg.DATASETS.TRAIN[0]), architecture.is_panoptic)


def categories_of(metadata: Metadata, with_stuff: bool) -> tuple[Category, ...]:
    """Returns the classes of a data set's or a weight file's metadata in the model's order.

    A class without a known category id gets its number, counted from one.

    Args:
        metadata: The metadata.
        with_stuff: Whether the model is panoptic, so that its stuff follows its things.
    """
    if not with_stuff and not metadata.get("thing_dataset_id_to_contiguous_id"):
        # Sets that a program registers may have names only; COCO counts from one.
        names = metadata.get("thing_classes") or ()
        return tuple(Category(number, name) for number, name in enumerate(names, start=1))
    original = metadata.get("original_ids", {}).get("category_id", {})
    kinds = ("thing", "stuff") if with_stuff else ("thing",)
    categories = []
    for kind, indices in zip(kinds, panoptic_labels(metadata), strict=False):
        names = metadata.get(f"{kind}_classes") or ()
        ids = {
            index: number for number, index in metadata.get(f"{kind}_dataset_id_to_contiguous_id", {}).items()
        }
        numbers = ((index, ids.get(index, index + 1)) for index in indices if index < len(names))
        categories += [
            Category(original.get(number, number), names[index], int(kind == "thing"))
            for index, number in numbers
        ]
    return tuple(categories)


def card_of(cfg: CfgNode, classes: Metadata) -> ModelCard:
    """Returns the card of a config's trained model with the classes of :func:`categories_of`."""
    return _card(cfg, categories_of(classes, meta_architecture(cfg).is_panoptic))


def _card(cfg: CfgNode, categories: tuple[Category, ...]) -> ModelCard:
    return ModelCard(categories, cfg.MODEL.META_ARCHITECTURE, score_thresholds(cfg), __version__)


def stored_card(weights: str) -> ModelCard:
    """Returns the card of a weight file; an empty one if it has none.

    Args:
        weights: A file or address, as for MODEL.WEIGHTS; "" for none.

    Raises:
        InputError: The file is missing or damaged.
    """
    if not weights or urlparse(weights).query or weights.endswith(_OLD_PICKLE):
        return ModelCard()  # a file of another project
    return ModelCard.stored_in(read_weight_file(weights))


def card_metadata(card: ModelCard) -> Metadata:
    """Returns the classes of a card as Detectron2's metadata."""
    categories = [{"id": c.id, "name": c.name} for c in card.categories if c.isthing]
    stuff = [{"id": c.id, "name": c.name} for c in card.categories if not c.isthing]
    if stuff:
        return Metadata(**number_classes(categories, stuff))
    return Metadata(
        thing_classes=card.thing_classes,
        thing_dataset_id_to_contiguous_id={c["id"]: index for index, c in enumerate(categories)},
    )


def set_class_counts(
    cfg: CfgNode, classes: Metadata, source: str, explicit_keys: Collection[str] = ()
) -> None:
    """Sets the model's numbers of things and of stuff.

    Args:
        cfg: The config, changed in place.
        classes: The classes.
        source: Where they come from, for messages.
        explicit_keys: Keys that the user has given, which must agree.

    Raises:
        InputError: The user has given another number.
    """
    if class_count_key(cfg):
        _set_class_count(cfg, class_count_key(cfg), len(classes.thing_classes), source, explicit_keys)
    if classes.get("stuff_classes"):
        _set_class_count(cfg, STUFF_COUNT_KEY, len(classes.stuff_classes), source, explicit_keys)


def _set_class_count(cfg: CfgNode, key: str, count: int, source: str, explicit_keys: Collection[str]) -> None:
    *path, leaf = key.split(".")
    node = cfg
    for part in path:
        node = node[part]
    if key in explicit_keys and node[leaf] != count:
        raise InputError(
            f"{key} {node[leaf]} on the command line contradicts {source}, which has {count} classes: "
            "leave the key out"
        )
    node[leaf] = count
