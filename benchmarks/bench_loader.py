"""Training samples, their targets, and the registration of own data, against Detectron2's.

    python benchmarks/bench_loader.py
    python benchmarks/bench_loader.py --json rows.json

"mapper": one JPEG of 480 x 640 with 50 or 1,000 annotations becomes a sample of 800 x 1067, bit masks;
reading the file is included. The baseline is Detectron2's ``DatasetMapper`` with the same augmentations and
random state. Both give equal images, boxes, classes, masks and targets, which is checked before anything is
timed. "sample": the size of the pickled instances, which is what a worker process sends. "targets": what
SOLOv2 and CondInst compute from these instances. "register": 35,000 polygons in 5,000 images, from the file
to the records, against ``load_coco_json``; "again": in the node's other processes, and in later runs. Times
are medians of CPU time.
"""

import json
import logging
import pickle
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from timing import build_parser, interleaved_ms, report, row

from detectron2.data import DatasetCatalog, DatasetMapper
from detectron2.data.datasets import load_coco_json
from detectron2.data.transforms import RandomFlip, ResizeShortestEdge
from detectron2.structures import BoxMode, Instances
from solo_d2.data import register_coco_format
from solo_d2.data.mappers import InstanceMapper
from solo_d2.methods.condinst.points import PointGenerator
from solo_d2.methods.condinst.targets import assign_point_targets, sample_masks
from solo_d2.methods.grid.layout import GridLayout
from solo_d2.methods.grid.targets import assign_grid_targets
from solo_d2.modeling.meta_architecture import ground_truth_masks

HEIGHT, WIDTH = 480, 640
# Objects per image, and the range of their radius in pixels.
CASES = ((50, (10, 90)), (1000, (4, 12)))
NUM_IMAGES, NUM_ANNOTATIONS = 5000, 35_000
LAYOUT = GridLayout.from_lists(
    (8, 8, 16, 32, 32), (40, 36, 24, 16, 12), ((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048))
)
POINTS = PointGenerator.from_lists((8, 16, 32, 64, 128), (64, 128, 256, 512))


def outline(rng: np.random.Generator, radius: tuple[float, float]) -> list[float]:
    """A wavy ellipse of 24 points inside the image: x, y, x, y, ..., two decimals as in COCO."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    wave = 1 + 0.15 * np.sin(5 * angle + rng.uniform(0, 6))
    sides = rng.uniform(*radius, 2)
    center = rng.uniform((0, 0), (WIDTH, HEIGHT))
    points = center + np.stack([np.cos(angle), np.sin(angle)], 1) * sides * wave[:, None]
    return points.clip((0, 0), (WIDTH, HEIGHT)).round(2).ravel().tolist()


def annotation(polygon: list[float], as_rle: bool) -> dict:
    """One annotation in Detectron2's format."""
    points = np.reshape(polygon, (-1, 2))
    low, high = points.min(0), points.max(0)
    packed = coco_mask.merge(coco_mask.frPyObjects([polygon], HEIGHT, WIDTH))
    return {
        "bbox": [*low.tolist(), *(high - low).tolist()],
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": int(points[0, 0]) % 80,
        "iscrowd": 0,
        "segmentation": packed if as_rle else [polygon],
    }


def make_record(folder: Path, count: int, radius: tuple[float, float], as_rle: bool) -> dict:
    """A record whose image is smooth noise, as a JPEG."""
    rng = np.random.default_rng(count)
    coarse = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8))
    path = folder / f"{count}.jpg"
    coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(path, quality=90)
    objects = [annotation(outline(rng, radius), as_rle) for _ in range(count)]
    return {
        "file_name": str(path),
        "height": HEIGHT,
        "width": WIDTH,
        "image_id": count,
        "annotations": objects,
    }


def build_mappers() -> tuple[InstanceMapper, DatasetMapper]:
    """This project's mapper and Detectron2's, with the augmentations of the COCO configs."""
    arguments = {
        "augmentations": [ResizeShortestEdge(800, 1333), RandomFlip()],
        "image_format": "BGR",
        "use_instance_mask": True,
        "instance_mask_format": "bitmask",
    }
    return InstanceMapper(True, **arguments), DatasetMapper(True, **arguments)


def cpu_times(functions: list[Callable[[], object]], repeats: int) -> list[float]:
    """Medians of CPU time in milliseconds."""
    return interleaved_ms(functions, repeats, time.process_time)


def seeded(mapper: Callable[[dict], dict], record: dict, seed: int = 1) -> dict:
    """Maps a record with a fixed random state."""
    np.random.seed(seed)
    return mapper(record)


def all_targets(instances: Instances) -> list[torch.Tensor]:
    """SOLOv2's and CondInst's targets of one image, at stride 4."""
    padded = [-(-side // 32) * 32 for side in instances.image_size]
    small = (padded[0] // 4, padded[1] // 4)
    boxes, classes, masks = (
        [instances.gt_boxes.tensor],
        [instances.gt_classes],
        [ground_truth_masks(instances)],
    )
    grid = assign_grid_targets(
        LAYOUT,
        boxes,
        classes,
        masks,
        small,
        num_classes=80,
        sigma=0.2,
        mask_strides=[4],
        share_cells=True,
    )
    points = POINTS.generate([(padded[0] // s, padded[1] // s) for s in POINTS.strides], torch.device("cpu"))
    point = assign_point_targets(POINTS, points, boxes, classes, masks, num_classes=80, pos_radius=1.5)
    return [
        grid.labels,
        grid.owner,
        grid.masks[4],
        point.labels,
        point.owner,
        sample_masks(masks[0], 4, small),
    ]


def mapper_rows(repeats: int, folder: Path) -> list[dict]:
    rows = []
    ours, theirs = build_mappers()
    for (count, radius), kind in product(CASES, ("polygons", "RLE")):
        record = make_record(folder, count, radius, kind == "RLE")
        mine, reference = seeded(ours, record), seeded(theirs, record)
        assert torch.equal(mine["image"], reference["image"])
        assert torch.equal(mine["instances"].gt_boxes.tensor, reference["instances"].gt_boxes.tensor)
        assert torch.equal(mine["instances"].gt_masks.tensor, reference["instances"].gt_masks.tensor)
        both = [partial(seeded, mapper, record) for mapper in (ours, theirs)]
        rows.append(row(f"mapper, {count} {kind}", *cpu_times(both, repeats), "ms"))
        if kind == "polygons":
            pair = mine["instances"], reference["instances"]
            assert all(map(torch.equal, *map(all_targets, pair)))
            rows.append(
                row(
                    f"targets, {count} objects",
                    *cpu_times([partial(all_targets, x) for x in pair], repeats),
                    "ms",
                )
            )
            sizes = [len(pickle.dumps(x, protocol=5)) / 2**20 for x in pair]
            rows.append(row(f"sample, {count} objects", *sizes, "MB"))
    return rows


def write_set(folder: Path) -> Path:
    """A COCO file of polygons, whose images are links to one JPEG."""
    rng = np.random.default_rng(7)
    source = make_record(folder, 1, (10, 90), as_rle=False)["file_name"]
    names = [f"{index:012d}.jpg" for index in range(1, NUM_IMAGES + 1)]
    for name in names:
        (folder / name).hardlink_to(source)
    annotations = []
    for number in range(1, NUM_ANNOTATIONS + 1):
        made = annotation(outline(rng, (10, 90)), as_rle=False)
        mode = made.pop("bbox_mode")
        assert mode == BoxMode.XYWH_ABS
        area = coco_mask.area(coco_mask.frPyObjects(made["segmentation"], HEIGHT, WIDTH))
        made |= {"id": number, "image_id": int(rng.integers(1, NUM_IMAGES + 1)), "area": float(area[0])}
        annotations.append({**made, "category_id": made["category_id"] + 1})
    content = {
        "images": [
            {"id": index, "file_name": name, "height": HEIGHT, "width": WIDTH}
            for index, name in enumerate(names, start=1)
        ],
        "annotations": annotations,
        "categories": [{"id": index, "name": f"class {index}"} for index in range(1, 81)],
    }
    (folder / "set.json").write_text(json.dumps(content))
    return folder / "set.json"


def registration_rows(repeats: int, folder: Path) -> list[dict]:
    path = write_set(folder)

    def register() -> list[dict]:
        register_coco_format("own", path, folder, cache_dir=folder / "cache")
        return DatasetCatalog.get("own")

    def load() -> list[dict]:
        return load_coco_json(str(path), str(folder), "theirs")

    def register_first() -> list[dict]:
        (folder / "cache" / "own.cache").unlink(missing_ok=True)
        return register()

    reference = load()
    assert register_first() == register() == reference
    first, again, theirs = cpu_times([register_first, register, load], repeats)
    name = f"register {NUM_ANNOTATIONS} annotations"
    return [row(name, first, theirs, "ms"), row(f"{name}, again", again, theirs, "ms")]


def main() -> None:
    args = build_parser(__doc__.splitlines()[0]).parse_args()
    logging.getLogger("solo_d2").setLevel(logging.ERROR)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as name:
        rows = mapper_rows(args.repeats, Path(name))
        rows += registration_rows(args.repeats, Path(name))
    report(rows, args.json)


if __name__ == "__main__":
    main()
