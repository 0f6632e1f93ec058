#!/usr/bin/env python
"""Writes docs/MODEL_ZOO.md from solo_d2/model_zoo/models.json and benchmarks/results/model_zoo.json.

python tools/model_zoo_table.py
python tools/model_zoo_table.py --check     # fails where the page is out of date
"""

import argparse
import json
from pathlib import Path

from solo_d2.engine.cli import prepare_parser, run_cli
from solo_d2.model_zoo import Catalogue, PublishedFile, load_catalogue
from solo_d2.model_zoo.catalogue import Source, architecture_of
from solo_d2.utils.atomic_file import write_text
from solo_d2.utils.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "MODEL_ZOO.md"
MEASURED = ROOT / "benchmarks" / "results" / "model_zoo.json"

INTRODUCTION = """\
<!-- Written by tools/model_zoo_table.py; edit solo_d2/model_zoo/models.json instead. -->
# Model zoo

Weights published by other projects, as configs of this project. Load any of them by name:

```python
from solo_d2 import Predictor, model_zoo

instances = Predictor("mmdet/solov2_R50_3x")("image.jpg")
model = model_zoo.get("original/solov2_light_448_R50_3x", pretrained=True)
cfg = model_zoo.get_config("mmdet/solov2_R50_3x")
```

```bash
solo-d2 zoo list SOLOv2 R50
solo-d2 zoo download mmdet/solov2_R50_3x
python train_net.py --config-file configs/zoo/mmdet/solov2_R50_3x.yaml --eval-only
python train_net.py --config-file configs/SOLOv2/solov2_R50_1x.yaml MODEL.WEIGHTS solo_d2://mmdet/solov2_R50_3x
python tools/convert_checkpoint.py --input solo_d2://mmdet/solov2_R50_3x --output solov2_R50_3x.safetensors
```

Files are downloaded on first use, those on the Hugging Face Hub [through its cache](hub.md) if
`huggingface_hub` is installed. A broken download resumes, and a file with a known hash is checked against it.
Without a network, the error says which file to download and where to put it.

`MODEL.WEIGHTS` also accepts such a file from any path:

- The formats of the original SOLO, mmdet 2 and 3, AdelaiDet, FreeSOLO, DenseCL, torchvision, timm, and Caffe2
  are recognized by the names of their weights. Deformable convolutions may also use the names of mmdet before
  1.0.
- If the classes of the data differ, only the last layer is re-initialized.
- The image format of the published models (color order, mean, std, stride) is compared with the config, and
  every difference is reported. If a file stores mean and std, they are used; otherwise the usual values of
  the format.

FreeSOLO's repository has no permanent address for its model, so it is loaded by path with
`configs/zoo/freesolo/freesolo_R101.yaml`. Its class predictor has two rows: all training masks belong to the
first category, none to the second. Its license is NVIDIA's Source Code License, non-commercial.

**These files have not been evaluated on COCO here.** The tests check that the same weights give the same
computation:

- Recorded weights of the public implementations pass through these adapters and reproduce the recorded
  outputs, losses, and instances (`tests/methods/`).
- The recorded names and shapes of complete files fit these configs (`tests/checkpoint/test_formats.py`).

How to read the tables:

- "Published" columns are what the publisher of the table states. "SHA-256" is the beginning of the file's
  hash.
- "Unknown" sizes and hashes are not recorded here. The host states the size when a download begins, and files
  on the Hugging Face Hub are checked against the hash that the hub states.
- Columns from "input" on were measured here by `benchmarks/bench_model_zoo.py`: backbone and heads with
  random weights, on one 4:3 image of the config's test size. They exclude computation that depends on the
  instances of an image (SOLO's mask channels, dynamic convolutions, NMS).
- Frozen norms do not count as parameters. Multiply-adds, which many papers call FLOPs, are those of
  convolutions and matrix products.
"""

FILE_COLUMNS = ("weights", "size, MiB", "SHA-256")
MEASURED_COLUMNS = {
    "input": "input",
    "parameters_million": "parameters, M",
    "multiply_adds_billion": "multiply-adds, G",
    "cpu_seconds": "CPU, s",
    "peak_memory_mib": "peak memory, MiB",
}


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


def known_facts(published: PublishedFile) -> tuple[str, str]:
    """Returns a file's size and the beginning of its hash."""
    size = f"{published.size_mib:.1f}" if published.size_mib else "unknown"
    return size, published.sha256_start[:8] or "unknown"


def model_table(models: list[PublishedFile], rows: dict) -> str:
    """A publisher's models: what it states of them, then what is measured here of their architectures.

    Args:
        models: the models.
        rows: measured values by architecture; a column that none has is left out.
    """
    present = [key for key in MEASURED_COLUMNS if any(key in row for row in rows.values())]
    header = [
        "name and config",
        "method",
        "backbone",
        "schedule",
        "published mask AP",
        "weights",
        "size, MiB",
        "SHA-256",
    ]
    lines = []
    for m in models:
        measured = rows.get(architecture_of(m), {})
        published = [m.method, m.backbone, m.schedule.replace("x", "×"), shown(m.published_ap)]
        lines.append(
            [
                f"[{m.name}](../configs/zoo/{m.name}.yaml)",
                *published,
                file_link(m),
                *known_facts(m),
                *(shown(measured.get(key)) for key in present),
            ]
        )
    return table([*header, *(MEASURED_COLUMNS[key] for key in present)], lines)


def backbone_table(backbones: list[PublishedFile]) -> str:
    rows = [
        [f"`{b.address}`", b.backbone, b.schedule, shown(b.published_ap), file_link(b), *known_facts(b)]
        for b in backbones
    ]
    return table(
        ["MODEL.WEIGHTS", "backbone", "trained", "published VOC box AP", "weights", "size, MiB", "SHA-256"],
        rows,
    )


def provenance(source: Source) -> str:
    published = f" Results: {source.results}." if source.results else ""
    return f"From [{source.title}]({source.repository}).{published} License of the files: {source.license}.\n"


def write_page(catalogue: Catalogue, measured: dict) -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    if measured.get("machine"):
        how = "median of three runs, memory of the whole process"
        parts.append(f"Time and memory: {measured['machine']}; {how}.\n")
    for key, source in catalogue.sources.items():
        models = [m for m in catalogue.models.values() if m.source == source]
        backbones = [b for b in catalogue.backbones.values() if b.source == source]
        parts.append(f"## {key}: {source.title}\n\n{provenance(source)}")
        parts += [model_table(models, measured["rows"])] if models else []
        parts += [backbone_table(backbones)] if backbones else []
    return "\n".join(parts)


def main() -> None:
    arguments = build_parser().parse_args()
    text = write_page(load_catalogue(), json.loads(MEASURED.read_text()))
    if arguments.check:
        if not PAGE.is_file() or PAGE.read_text() != text:
            raise InputError(f"{PAGE.name} is out of date: run python tools/model_zoo_table.py")
        return
    write_text(PAGE, [text])
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    run_cli(main)
