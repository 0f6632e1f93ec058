"""The panoptic merge and panoptic quality against straightforward loops, in one run.

    python benchmarks/bench_panoptic.py
    python benchmarks/bench_panoptic.py --repeats 11 --json rows.json

The merge runs on one core, whatever there is; panoptic quality on all, PNG decoding included. The baselines
go over one instance (one pair of segments) and all its pixels at a time; results are compared before timing.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from timing import median_ms, parse_args, report, row

from detectron2.structures import Instances
from solo_d2.evaluation.panoptic_quality import panoptic_quality
from solo_d2.methods.panoptic.postprocess import PanopticMerge
from solo_d2.utils.atomic_file import write_bytes
from solo_d2.utils.panoptic_png import encode_ids, read_ids

SIZE = (800, 1216)
NUM_INSTANCES, NUM_LABELS = 100, 54
QUALITY_SIZE, NUM_PAIRS, NUM_SEGMENTS = (480, 640), 200, 25
NUM_CATEGORIES = 20
MERGE_LIMIT_MS, QUALITY_LIMIT_S = 60, 10


def ellipse(size: tuple[int, int], rng: np.random.Generator, largest: float) -> np.ndarray:
    """A mask (H, W) somewhere in the image, with half axes from 10 pixels on."""
    half = np.exp(rng.uniform(np.log(10), np.log(largest), 2))
    center = rng.uniform(0, 1, 2) * size
    rows, columns = np.arange(size[0])[:, None], np.arange(size[1])
    return ((rows - center[0]) / half[0]) ** 2 + ((columns - center[1]) / half[1]) ** 2 < 1


def stuff_labels(size: tuple[int, int], count: int, rng: np.random.Generator) -> np.ndarray:
    """A label map (H, W): every pixel has the label of the nearest of three times as many points."""
    points = rng.uniform(0, 1, (3 * count, 2)) * size
    coarse = np.stack(np.mgrid[0 : size[0] : 4, 0 : size[1] : 4], axis=-1)
    nearest = ((coarse[:, :, None] - points) ** 2).sum(-1).argmin(-1)
    return np.kron(nearest % count, np.ones((4, 4), np.int64))[: size[0], : size[1]]


def make_predictions() -> tuple[Instances, torch.Tensor]:
    rng = np.random.default_rng(0)
    instances = Instances(SIZE)
    masks = np.stack([ellipse(SIZE, rng, 250) for _ in range(NUM_INSTANCES)])
    instances.pred_masks = torch.from_numpy(masks)
    instances.scores = torch.from_numpy(rng.random(NUM_INSTANCES))
    instances.pred_classes = torch.from_numpy(rng.integers(0, 80, NUM_INSTANCES))
    return instances, torch.from_numpy(stuff_labels(SIZE, NUM_LABELS, rng))


def merge_by_loops(
    merge: PanopticMerge, instances: Instances, semantic: torch.Tensor
) -> tuple[torch.Tensor, int]:
    """One instance and one label at a time; returns the map and how many segments it has."""
    panoptic = torch.zeros_like(semantic, dtype=torch.int32)
    count = 0
    for index in instances.scores.argsort(descending=True).tolist():
        if instances.scores[index] < merge.instances_confidence_thresh:
            break
        mask = instances.pred_masks[index]
        taken = mask & (panoptic > 0)
        if not mask.any() or taken.sum() / mask.sum() > merge.overlap_thresh:
            continue
        count += 1
        panoptic[mask & (panoptic == 0)] = count
    for label in semantic.unique().tolist():
        free = (semantic == label) & (panoptic == 0)
        if label and free.sum() >= merge.stuff_area_limit:
            count += 1
            panoptic[free] = count
    return panoptic, count


def measure_merge(repeats: int) -> list[dict]:
    instances, semantic = make_predictions()
    rows = []
    # All instances above the threshold is the worst case; Detectron2's threshold leaves half of these.
    for score_threshold in (0.0, 0.5):
        merge = PanopticMerge(0.5, 4096, score_threshold)
        ours, baseline = merge(instances, semantic), merge_by_loops(merge, instances, semantic)
        assert torch.equal(ours[0], baseline[0]) and len(ours[1]) == baseline[1]
        kept = int((instances.scores >= score_threshold).sum())
        rows.append(
            row(
                f"merge, 100 instances ({kept} score enough), 54 labels, 800x1216, one core "
                f"(limit {MERGE_LIMIT_MS})",
                median_ms(lambda merge=merge: merge(instances, semantic), repeats),
                median_ms(lambda merge=merge: merge_by_loops(merge, instances, semantic), repeats),
                "ms",
            )
        )
    return rows


def write_set(folder: Path, name: str, maps: list[np.ndarray]) -> tuple[dict, Path]:
    """Writes the PNG files of a set, odd categories being things; returns its content and the folder."""
    annotations = []
    for number, ids in enumerate(maps):
        write_bytes(folder / name / f"{number}.png", encode_ids(ids))
        found, areas = np.unique(ids[ids > 0], return_counts=True)
        segments = [
            {"id": int(i), "category_id": int(i) % NUM_CATEGORIES, "area": int(a), "iscrowd": 0}
            for i, a in zip(found, areas, strict=True)
        ]
        annotations.append({"image_id": number, "file_name": f"{number}.png", "segments_info": segments})
    categories = [{"id": i, "name": str(i), "isthing": i % 2} for i in range(NUM_CATEGORIES)]
    return {"annotations": annotations, "categories": categories}, folder / name


def make_maps() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Truths of overlapping ellipses, and predictions that are the same some pixels further."""
    rng = np.random.default_rng(0)
    truths, predictions = [], []
    for _ in range(NUM_PAIRS):
        ids = np.zeros(QUALITY_SIZE, np.int64)
        for _ in range(NUM_SEGMENTS):
            ids[ellipse(QUALITY_SIZE, rng, 200)] = rng.integers(1, 1 << 24)
        truths.append(ids)
        predictions.append(np.roll(ids, rng.integers(0, 12), axis=1))
    return truths, predictions


def quality_by_loops(truth: dict, predicted: list[dict], truth_folder: Path, predicted_folder: Path) -> float:
    """PQ over all classes, one pair of masks at a time; the sets here have no crowds."""
    totals = np.zeros((NUM_CATEGORIES, 4))  # IoU, matches, false ones, missed ones
    for a, b in zip(truth["annotations"], predicted, strict=True):
        ids, other = read_ids(truth_folder / a["file_name"]), read_ids(predicted_folder / b["file_name"])
        matched = set()
        for t in a["segments_info"]:
            mask = ids == t["id"]
            best = 0.0
            for p in b["segments_info"]:
                if p["category_id"] == t["category_id"]:
                    guess = other == p["id"]
                    shared = (mask & guess).sum()
                    iou = shared / (mask.sum() + guess.sum() - shared - (guess & (ids == 0)).sum())
                    if iou > 0.5:
                        best = iou
                        matched.add(p["id"])
            totals[t["category_id"]] += (best, best > 0, 0, best == 0)
        for p in b["segments_info"]:
            guess = other == p["id"]
            mostly_void = (guess & (ids == 0)).sum() / guess.sum() > 0.5
            totals[p["category_id"], 2] += p["id"] not in matched and not mostly_void
    iou, tp, fp, fn = totals[totals[:, 1:].sum(1) > 0].T
    return float((iou / (tp + 0.5 * fp + 0.5 * fn)).mean())


def measure_quality(repeats: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        truths, predictions = make_maps()
        (truth, truth_folder), (predicted, predicted_folder) = (
            write_set(Path(folder), name, maps) for name, maps in (("truth", truths), ("found", predictions))
        )
        files = (truth, predicted["annotations"], truth_folder, predicted_folder)
        ours, baseline = panoptic_quality(*files)["All"]["pq"], quality_by_loops(*files)
        assert abs(ours - baseline) < 1e-9, (ours, baseline)
        return row(
            f"PQ of {NUM_PAIRS} image pairs, 640x480 (limit {QUALITY_LIMIT_S}); baseline: one process, one "
            "pair of segments at a time",
            median_ms(lambda: panoptic_quality(*files), repeats) / 1e3,
            median_ms(lambda: quality_by_loops(*files), 1) / 1e3,
            "s",
        )


def main() -> None:
    args = parse_args(__doc__.split("\n")[0])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = measure_merge(args.repeats)
    torch.set_num_threads(threads)
    rows.append(measure_quality(args.repeats))
    report(rows, args.json)


if __name__ == "__main__":
    main()
