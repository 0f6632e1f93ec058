"""The classes and the origin of a trained model, stored in its weight file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

CARD_KEY = "model_card"


@dataclass(frozen=True)
class Category:
    """A class of a model.

    Attributes:
        id: Category id of the training set, as its annotation file has it.
        name: Class name.
        isthing: 1 for a thing, 0 for stuff.
    """

    id: int | str
    name: str
    isthing: int = 1


@dataclass(frozen=True)
class ModelCard:
    """Facts about a model that its weights do not tell; empty where they are unknown.

    Attributes:
        categories: The classes in the model's order: things from class 0, stuff from label 1.
        architecture: Name of the meta-architecture.
        score_thresholds: Score thresholds of the training's config, by key.
        version: Version of this project that wrote the file.
    """

    categories: tuple[Category, ...] = ()
    architecture: str = ""
    score_thresholds: Mapping[str, float] = field(default_factory=dict)
    version: str = ""

    @property
    def thing_classes(self) -> list[str]:
        """Names of the things."""
        return [category.name for category in self.categories if category.isthing]

    @property
    def stuff_classes(self) -> list[str]:
        """Names of the stuff."""
        return [category.name for category in self.categories if not category.isthing]

    def as_dict(self) -> dict:
        """Returns plain values to store next to weights."""
        return {
            **asdict(self),
            "categories": [asdict(category) for category in self.categories],
            "score_thresholds": dict(self.score_thresholds),
        }

    @classmethod
    def stored_in(cls, checkpoint: Mapping) -> "ModelCard":
        """Returns the card of a checkpoint's entries; an empty one if they have none that is sound."""
        stored = checkpoint.get(CARD_KEY)
        if not isinstance(stored, Mapping):
            return cls()
        thresholds = stored.get("score_thresholds")
        return cls(
            categories=_categories(stored.get("categories")),
            architecture=_text(stored.get("architecture")),
            score_thresholds={
                key: float(value)
                for key, value in (thresholds.items() if isinstance(thresholds, Mapping) else ())
                if isinstance(key, str) and isinstance(value, int | float)
            },
            version=_text(stored.get("version")),
        )

    def summary(self) -> str:
        """Describes the model in one line; "" without classes."""
        if not self.categories:
            return ""
        things, stuff = len(self.thing_classes), len(self.stuff_classes)
        counts = f"{things} classes" + (f" and {stuff} of stuff" if stuff else "")
        return f"{self.architecture or 'a model'} of solo_d2 {self.version} with {counts}"


def _categories(stored: object) -> tuple[Category, ...]:
    """Returns the categories of a file; none if one of them is no category."""
    records = stored if isinstance(stored, list | tuple) else ()
    sound = [
        Category(record["id"], record["name"], record["isthing"])
        for record in records
        if isinstance(record, Mapping)
        and isinstance(record.get("id"), int | str)
        and isinstance(record.get("name"), str)
        and record.get("isthing") in (0, 1)
    ]
    distinct = len({(category.isthing, category.id) for category in sound}) == len(records)
    return tuple(sound) if distinct and len(sound) == len(records) else ()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
