#!/usr/bin/env python
"""Writes docs/MODEL_ZOO.md from solo_d2/model_zoo/models.json and benchmarks/results/model_zoo.json.

python tools/model_zoo_table.py
python tools/model_zoo_table.py --check     # fails where the page is out of date
"""

import argparse
import json
import os
from pathlib import Path

from solo_d2.engine.cli import prepare_parser, run_cli
from solo_d2.model_zoo.catalogue import (
    Catalogue,
    PublishedFile,
    Source,
    architecture_of,
    load_catalogue,
)
from solo_d2.structures.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "MODEL_ZOO.md"
MEASURED = ROOT / "benchmarks" / "results" / "model_zoo.json"

INTRODUCTION = """\
<!-- Written by tools/model_zoo_table.py; change solo_d2/model_zoo/models.json instead. -->
# Model zoo

Weights that others published, as configs of this project. Any of them loads by name:

```python
from solo_d2 import Predictor, model_zoo

instances = Predictor("mmdet/solov2_R50_3x")("image.jpg")
model = model_zoo.get("original/solov2_light_448_R50_3x", pretrained=True)
cfg = model_zoo.get_config("mmdet/solov2_R50_3x")
```

```bash
python train_net.py --config-file configs/zoo/mmdet/solov2_R50_3x.yaml --eval-only
python train_net.py --config-file configs/SOLOv2/solov2_R50_1x.yaml MODEL.WEIGHTS solo_d2://mmdet/solov2_R50_3x
python tools/convert_checkpoint.py --input solo_d2://mmdet/solov2_R50_3x --output solov2_R50_3x.safetensors
```

Files are fetched on first use, go on after a broken connection, and are checked where their name carries a
hash. Without a network the error says what to fetch and where to put it.

`MODEL.WEIGHTS` also takes such a file from anywhere: the layouts of the original SOLO, mmdet 2 and 3,
AdelaiDet, FreeSOLO, DenseCL, torchvision, timm and Caffe2 are recognised by their names. How a layout's
models treat images (colour order, mean, std, stride) is compared with the config and a difference is
reported. On data with other classes only the last layer starts anew. FreeSOLO's repository names no lasting
address of its models: they load by path.

**Nobody has run these files through this project on COCO here.** The AP columns are what the publishers
state. What is tested is that the same weights give the same computation: recorded weights of the public
implementation go through these adapters and reproduce its outputs, losses and instances
(`tests/modeling/meta_arch/test_grid_segmenter.py`), and recorded names and shapes of the layouts are
compared with these configs (`tests/checkpoint/test_layouts.py`).
"""

MEASUREMENT = """\
## Measured here

One row per architecture, by `benchmarks/bench_model_zoo.py` on one 4:3 picture of the config's test size:
backbone and heads. What depends on a picture's instances (SOLO's mask channels, dynamic convolutions, NMS)
is not in it, and frozen norms are not counted as parameters. Multiply-adds are those of convolutions and
matrix products.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail where the page would change"
    )
    return prepare_parser(parser)


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def shown(value) -> str:
    return "–" if value is None else str(value)


def file_link(published: PublishedFile) -> str:
    return f"[file]({published.url})"


def model_table(models: list[PublishedFile]) -> str:
    rows = [
        [
            f"[{m.name}](../configs/zoo/{m.name}.yaml)",
            m.method,
            m.backbone,
            m.schedule.replace("x", "×"),
            shown(m.published_ap),
            m.sha256_start or "–",
            file_link(m),
        ]
        for m in models
    ]
    header = ["name and config", "method", "backbone", "schedule", "published mask AP", "SHA-256", "weights"]
    return table(header, rows)


def backbone_table(backbones: list[PublishedFile]) -> str:
    rows = [
        [f"`{b.address}`", b.backbone, b.schedule, shown(b.published_ap), b.sha256_start or "–", file_link(b)]
        for b in backbones
    ]
    return table(["MODEL.WEIGHTS", "backbone", "trained", "published VOC box AP", "SHA-256", "weights"], rows)


def provenance(source: Source) -> str:
    published = f" Results: {source.results}." if source.results else ""
    return f"From [{source.title}]({source.repository}).{published} Licence of the files: {source.licence}.\n"


def measured_table(measured: dict, models: list[PublishedFile]) -> str:
    columns = {
        "input": "input",
        "parameters_million": "parameters, M",
        "multiply_adds_billion": "multiply-adds, G",
        "cpu_seconds": "CPU, s",
        "peak_memory_mib": "peak memory, MiB",
    }
    rows = measured["rows"]
    present = [key for key in columns if any(key in row for row in rows.values())]
    order = dict.fromkeys(architecture_of(model) for model in models)
    lines = [[name, *(shown(rows[name].get(key)) for key in present)] for name in order if name in rows]
    return table(["architecture", *(columns[key] for key in present)], lines)


def write_page(catalogue: Catalogue, measured: dict) -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for key, source in catalogue.sources.items():
        models = [m for m in catalogue.models.values() if m.source == source]
        backbones = [b for b in catalogue.backbones.values() if b.source == source]
        parts.append(f"## {key}: {source.title}\n\n{provenance(source)}")
        parts += [model_table(models)] if models else []
        parts += [backbone_table(backbones)] if backbones else []
    parts.append(MEASUREMENT)
    if measured.get("machine"):
        parts.append(f"Time and memory: {measured['machine']}.\n")
    parts.append(measured_table(measured, list(catalogue.models.values())))
    return "\n".join(parts)


def main() -> None:
    arguments = build_parser().parse_args()
    text = write_page(load_catalogue(), json.loads(MEASURED.read_text()))
    if arguments.check:
        if not PAGE.is_file() or PAGE.read_text() != text:
            raise InputError(f"{PAGE.name} is out of date: run python tools/model_zoo_table.py")
        return
    temporary = PAGE.with_suffix(".tmp")
    temporary.write_text(text)
    os.replace(temporary, PAGE)
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    run_cli(main)
