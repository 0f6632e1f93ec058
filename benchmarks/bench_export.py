"""Exported models against the ones they come from, on the built-in scenes.

    python benchmarks/bench_export.py
    python benchmarks/bench_export.py --methods solov2 condinst --weights output/tiny --json rows.json

Each method's tiny config learns the 40 scenes by heart for a few steps, so that there are confident
instances. Then the ONNX file runs in ONNX Runtime on the same pictures at two sizes, one by one and in
batches of three, and on an empty picture followed by one with instances.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from detectron2.structures import Instances
from solo_d2 import Predictor, train
from solo_d2.export import export_onnx
from solo_d2.export.onnx_runtime import OnnxModel
from solo_d2.scenes import generate_scenes

METHODS = {
    "solo": "solo_tiny",
    "decoupled_solo": "decoupled_solo_tiny",
    "solov2": "solov2_tiny",
    "freesolo": "freesolo_tiny",
    "condinst": "condinst_tiny",
    "panoptic_solov2": "panoptic_solov2_tiny",
    "panoptic_condinst": "panoptic_condinst_tiny",
}
NUM_SCENES, SIDE, TRAIN_SIDE = 40, 96, 64
TEST_SIDES = (64, 96)
BATCH = 3
TRAINING = {
    "SOLVER.WARMUP_ITERS": 20,
    "SOLVER.IMS_PER_BATCH": 4,
    "SOLVER.CHECKPOINT_MINUTES": 1000,
    "INPUT.MIN_SIZE_TRAIN": (TRAIN_SIDE,),
    "INPUT.MIN_SIZE_TEST": TRAIN_SIDE,
    "DATALOADER.NUM_WORKERS": 0,
    "TEST.PRECISE_BN.ENABLED": False,
    "MODEL.DEVICE": "cpu",
    "SEED": 1,
}


@dataclass
class Difference:
    """Differences of an exported model from its original, summed over pictures."""

    instances: int = 0
    same: int = 0
    score: float = 0.0
    pixels: int = 0
    different: int = 0
    segments: int = 0
    different_ids: int = 0

    def add(self, found: dict, wanted: dict) -> None:
        """Compares the outputs for one picture."""
        mine, theirs = found["instances"], wanted["instances"]
        self.instances += len(theirs)
        self.pixels += theirs.pred_masks.numel()
        for i, j in pairs(mine, theirs):
            self.same += 1
            self.score = max(self.score, abs(float(mine.scores[i] - theirs.scores[j])))
            self.different += int((mine.pred_masks[i] != theirs.pred_masks[j]).sum())
        self.same -= max(len(mine) - len(theirs), 0)
        if "panoptic_seg" in wanted:
            (ids, segments), (others, other_segments) = found["panoptic_seg"], wanted["panoptic_seg"]
            self.segments += len(other_segments)
            self.different_ids += int((ids != others).sum()) + abs(len(segments) - len(other_segments)) * len(
                ids
            )


def pairs(found: Instances, wanted: Instances) -> Iterator[tuple[int, int]]:
    """Yields the instances that are the same but for rounding; equal scores have no defined order."""
    left = list(range(len(found)))
    for j in range(len(wanted)):
        near = [
            i
            for i in left
            if abs(float(found.scores[i] - wanted.scores[j])) < 1e-3
            and found.pred_classes[i] == wanted.pred_classes[j]
        ]
        if near:
            best = min(near, key=lambda i: int((found.pred_masks[i] != wanted.pred_masks[j]).sum()))
            left.remove(best)
            yield best, j


def trained(method: str, scenes: Path, folder: Path, steps: int) -> Path:
    """Returns the folder of a method's weights and config; trains the model unless it is trained."""
    output = folder / method
    if not (output / "model_final.pth").is_file():
        data = [scenes / "instances_train.json", scenes / "train" / "images"]
        if method.startswith("panoptic"):
            data = [scenes / "panoptic_train.json", scenes / "train" / "images", scenes / "panoptic_train"]
        settings = {**TRAINING, "SOLVER.MAX_ITER": steps}
        opts = [part for pair in settings.items() for part in pair]
        train(f"quick/{METHODS[method]}", train_data=tuple(data), output_dir=output, opts=opts)
    return output


def compare(method: str, weights: Path, pictures: list[str], folder: Path) -> list[dict]:
    """Exports a method's model and returns one row per size and kind of batch."""
    config, file = weights / "config.yaml", folder / f"{method}.onnx"
    rows = []
    for side in TEST_SIDES:
        opts = ["INPUT.MIN_SIZE_TEST", str(side)]
        predictor = Predictor(config, weights / "model_final.pth", opts=opts, device="cpu")
        if not file.exists():
            export_onnx(predictor.model, predictor.cfg, predictor.metadata, file)
            exported = OnnxModel(file)
        inputs = [predictor.load(picture) for picture in pictures]
        empty = predictor.model_input(
            np.full((SIDE, SIDE, 3), predictor.cfg.MODEL.PIXEL_MEAN, np.float32).round().astype(np.uint8)
        )
        batches = {
            "one by one": [[one] for one in inputs],
            f"batches of {BATCH}": [inputs[i : i + BATCH] for i in range(0, len(inputs), BATCH)],
            "after an empty picture": [batch for one in inputs[:5] for batch in ([empty], [one])],
        }
        for kind, content in batches.items():
            difference = Difference()
            for batch in content:
                with torch.no_grad():
                    wanted = predictor.model(batch)
                for mine, other in zip(exported(batch), wanted, strict=True):
                    difference.add(mine, other)
            rows.append({"method": method, "side": side, "pictures": kind, **vars(difference)})
    return rows


def report(rows: list[dict], json_file: Path | None) -> None:
    """Prints the rows as a Markdown table and writes them where asked."""
    print("| method | side | pictures | same instances | scores differ by | mask pixels | ids of segments |")
    print("| --- | ---: | --- | --- | --- | --- | --- |")
    for r in rows:
        ids = f"{r['different_ids']} (of {r['segments']} segments)" if r["segments"] else ""
        print(
            f"| {r['method']} | {r['side']} | {r['pictures']} | {r['same']} of {r['instances']} "
            f"| {r['score']:.1e} | {r['different']} of {r['pixels'] / 1e6:.1f} million | {ids} |"
        )
    if json_file:
        json_file.write_text(json.dumps(rows, indent=1))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="(default: all)")
    add("--steps", type=int, default=100, help="training steps of 4 pictures (%(default)s)")
    add("--weights", type=Path, help="folder of trained models, which is filled (default: a temporary one)")
    add("--train-only", action="store_true", help="fill the folder and stop")
    add("--json", type=Path, help="also write the rows to this file")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes = generate_scenes(folder / "scenes", NUM_SCENES, 1, size=SIDE, workers=1)
        pictures = sorted(map(str, (scenes / "train" / "images").glob("*.png")))
        for method in args.methods:
            weights = trained(method, scenes, args.weights or folder / "weights", args.steps)
            if not args.train_only:
                rows += compare(method, weights, pictures, folder)
    report(rows, args.json)


if __name__ == "__main__":
    main()
