"""The page about a model that its README.md shows on the hub."""

from collections.abc import Mapping

import yaml

from detectron2.config import CfgNode
from solo_d2.checkpoint import ModelCard
from solo_d2.utils.errors import printable

from .catalogue import PREFIX, load_catalogue

_PAGE = """\
---
{head}---
# {name}

An instance segmentation model of solo_d2.

```python
from solo_d2 import Predictor

predictor = Predictor.from_pretrained("{name}")
predictor("image.jpg").save("drawn.jpg")
```

{facts}
`config.yaml` has the settings that differ from the defaults.

{classes}## Results

{results}"""


def model_page(
    name: str, cfg: CfgNode, card: ModelCard, license: str, metrics: Mapping[str, float | None]
) -> str:
    """Returns the text of README.md, whose head the hub reads.

    Args:
        name: Repository or folder.
        cfg: Config of the model.
        card: Its classes and origin.
        license: License identifier; "" for none.
        metrics: Results by name; None where one is undefined.
    """
    architecture = cfg.MODEL.META_ARCHITECTURE
    tags = ["detectron2", "instance-segmentation", architecture]
    head = {"library_name": "solo_d2", "pipeline_tag": "image-segmentation", "tags": tags}
    facts = {
        "architecture": architecture,
        "backbone": cfg.MODEL.BACKBONE.NAME,
        "input": f"{cfg.INPUT.FORMAT}, short side {cfg.INPUT.MIN_SIZE_TEST} pixels",
        "solo_d2": card.version,
        "license": license or "not stated",
    }
    if cfg.MODEL.WEIGHTS.startswith(PREFIX):
        origin = load_catalogue().find(cfg.MODEL.WEIGHTS.removeprefix(PREFIX))
        facts["weights"] = f"{origin.name} of {origin.source.title}; license: {origin.source.license}"
    results = {key: f"{value:.2f}" for key, value in metrics.items() if value is not None}
    return _PAGE.format(
        head=yaml.safe_dump(head | ({"license": license} if license else {})),
        name=printable(name),
        facts=_table(("fact", "value"), facts),
        classes=_names("Classes", card.thing_classes) + _names("Stuff", card.stuff_classes),
        results=_table(("metric", "value"), results) if results else "None are stated.\n",
    )


def _names(title: str, names: list[str]) -> str:
    return f"## {title}\n\n{', '.join(map(printable, names))}\n\n" if names else ""


def _table(header: tuple[str, str], rows: Mapping[str, object]) -> str:
    lines = [header, ("---", "---"), *rows.items()]
    return "".join(f"| {name} | {printable(str(value))} |\n" for name, value in lines)
