#!/usr/bin/env python
"""Records what tiny seeded runs compute, through the entry points that a user has.

    python tests/recordings/record.py --output FOLDER             # everything
    python tests/recordings/record.py --output FOLDER --resume    # only resumes the recorded run

It records the ``solo_d2`` that is imported: see README.md for recording another commit.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

import solo_d2
from detectron2.config import CfgNode
from detectron2.engine import HookBase, default_setup
from detectron2.modeling import build_model
from solo_d2 import Predictor
from solo_d2.engine.run_config import build_cfg, build_parser
from solo_d2.engine.trainer import Trainer

HERE = Path(__file__).resolve().parent
CHECKOUT = Path(solo_d2.__file__).resolve().parents[1]
NUM_STEPS = 3
MAX_INSTANCES = 20
RUN, RUN_STEPS, INTERRUPTED_AFTER = "interrupted", 8, 4
# Short steps of plain SGD keep rounding errors small: long steps would enlarge them, and AdamW's first steps
# those of gradients that are nearly zero.
COMMON = [
    *("DATASETS.TEST", "()", "DATALOADER.NUM_WORKERS", "0", "SEED", "1", "SOLVER.IMS_PER_BATCH", "2"),
    *("SOLVER.OPTIMIZER", "SGD", "SOLVER.BASE_LR", "0.002", "SOLVER.WARMUP_ITERS", "0"),
    *("SOLVER.CLIP_GRADIENTS.ENABLED", "True", "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "full_model"),
    *("SOLVER.CLIP_GRADIENTS.CLIP_VALUE", "0.5"),
    *("SOLVER.AMP.ENABLED", "False", "TEST.PRECISE_BN.ENABLED", "False", "TEST.VIS_IMAGES", "0"),
]
# The config below configs/quick, and keys that let a hardly trained model find something.
METHODS = {
    "solov2": ("solov2_tiny", ["MODEL.SOLOV2.PRIOR_PROB", "0.3"]),
    "solo": (
        "solo_tiny",
        [*("MODEL.SOLO.PRIOR_PROB", "0.3", "MODEL.SOLO.SCORE_THR", "0.0", "MODEL.SOLO.MASK_THR", "0.3")],
    ),
    "decoupled_solo": (
        "decoupled_solo_tiny",
        [
            *("MODEL.SOLO.PRIOR_PROB", "0.3", "MODEL.SOLO.SCORE_THR", "0.0"),
            *("MODEL.SOLO.UPDATE_THR", "0.0", "MODEL.SOLO.MASK_THR", "0.1"),
        ],
    ),
    "condinst": ("condinst_tiny", ["MODEL.FCOS.PRIOR_PROB", "0.3", "MODEL.CONDINST.MASK_THR", "0.49"]),
    "panoptic_solov2": ("panoptic_solov2_tiny", ["MODEL.SOLOV2.PRIOR_PROB", "0.3"]),
    "panoptic_condinst": ("panoptic_condinst_tiny", ["MODEL.FCOS.PRIOR_PROB", "0.3"]),
    "freesolo": ("freesolo_tiny", ["MODEL.SOLOV2.PRIOR_PROB", "0.3", "TEST.CLASS_AGNOSTIC", "False"]),
    "densecl": ("densecl_tiny", []),
    "free_mask": (
        "free_mask_tiny",
        ["MODEL.FREE_MASK.MASKNESS_THR", "0.0", "MODEL.FREE_MASK.MAX_BOX_WIDTH", "1.1"],
    ),
}
# A ResNet-50 and a head of a few channels, so that a checkpoint with its optimizer stays below a megabyte.
SMALL_R50 = [
    *("MODEL.RESNETS.DEPTH", "50", "MODEL.RESNETS.STEM_OUT_CHANNELS", "8"),
    *("MODEL.RESNETS.WIDTH_PER_GROUP", "4", "MODEL.RESNETS.RES2_OUT_CHANNELS", "8"),
    *("MODEL.FPN.OUT_CHANNELS", "8", "MODEL.FPN.NORM", "BN", "MODEL.SOLOV2.NORM", "BN"),
    *(
        "MODEL.SOLOV2.INSTANCE_CHANNELS",
        "8",
        "MODEL.SOLOV2.MASK_CHANNELS",
        "8",
        "MODEL.SOLOV2.NUM_MASKS",
        "8",
    ),
]


class LossRecorder(HookBase):
    """Keeps the losses of every step by iteration."""

    def __init__(self) -> None:
        self.losses: dict[int, dict[str, float]] = {}

    def after_step(self) -> None:
        latest = self.trainer.storage.latest()
        names = sorted(name for name in latest if "loss" in name)
        self.losses[self.trainer.iter] = {name: latest[name][0] for name in names}


def make_scenes(folder: Path) -> None:
    """Writes eight training scenes and a validation scene to ``folder``."""
    options = ["--output", str(folder), "--num-train", "8", "--num-val", "1", "--workers", "1"]
    script = CHECKOUT / "tools" / "make_scenes.py"
    subprocess.run([sys.executable, str(script), *options], check=True, stdout=subprocess.DEVNULL)


def train(cfg: CfgNode, args: argparse.Namespace) -> LossRecorder:
    """Trains as ``train_net.py`` does."""
    default_setup(cfg, args)
    trainer, recorder = Trainer(cfg), LossRecorder()
    trainer.register_hooks([recorder])
    trainer.resume_or_load(resume=args.resume)
    trainer.train()
    return recorder


def run_arguments(config: str, keys: list[str], resume: bool = False) -> argparse.Namespace:
    """Returns the parsed command line of a run; FreeSOLO's masks are the scenes' own."""
    flags = ["--config-file", str(CHECKOUT / "configs" / "quick" / f"{config}.yaml")]
    if config == "freesolo_tiny":
        flags += ["--train-json", "scenes/instances_train.json", "--train-images", "scenes/train/images"]
    return build_parser().parse_args([*flags, *(["--resume"] if resume else []), *COMMON, *keys])


def record_method(name: str) -> dict:
    """Returns the losses of the first steps, and what the model of the last one finds in a scene."""
    config, keys = METHODS[name]
    args = run_arguments(config, [*keys, "OUTPUT_DIR", name, "SOLVER.MAX_ITER", str(NUM_STEPS)])
    cfg = build_cfg(args)
    result: dict = {}
    if name == "free_mask":  # nothing to train
        torch.manual_seed(0)
        torch.save({"model": build_model(cfg).state_dict()}, f"{name}/model_final.pth")
    else:
        result["losses"] = list(train(cfg, args).losses.values())
    if name != "densecl":  # finds nothing
        predictor = Predictor(cfg, weights=f"{name}/model_final.pth")
        picture = next(Path("scenes/val/images").iterdir())
        result |= describe(predictor.predict([str(picture)])[0])
    return result


def describe(prediction: dict) -> dict:
    """Returns the best instances, and the segments of a panoptic model, in plain values."""
    found = prediction["instances"]
    best = found[found.scores.argsort(descending=True, stable=True)[:MAX_INSTANCES]]
    result = {
        "scores": best.scores.tolist(),
        "classes": best.pred_classes.tolist(),
        "boxes": best.pred_boxes.tensor.tolist(),
        "areas": best.pred_masks.flatten(1).sum(1).tolist(),
    }
    if "panoptic_seg" in prediction:
        ids, segments = prediction["panoptic_seg"]
        result["segments"] = [
            {key: int(segment[key]) for key in ("id", "isthing", "category_id")}
            | {"area": int((ids == segment["id"]).sum())}
            for segment in segments
        ]
    return result


def record_run() -> dict[int, dict[str, float]]:
    """Trains all steps of the run that is resumed later; leaves its folder as after an interruption."""
    keys = [*SMALL_R50, "OUTPUT_DIR", RUN, "SOLVER.MAX_ITER", str(RUN_STEPS)]
    args = run_arguments("solov2_tiny", [*keys, "SOLVER.CHECKPOINT_PERIOD", str(INTERRUPTED_AFTER)])
    losses = train(build_cfg(args), args).losses
    checkpoint = f"model_{INTERRUPTED_AFTER - 1:07d}.pth"
    for path in Path(RUN).iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in (checkpoint, "config.yaml"):
            path.unlink()
    Path(RUN, "last_checkpoint").write_text(checkpoint)
    return {step: values for step, values in losses.items() if step >= INTERRUPTED_AFTER}


def resume_run() -> dict[int, dict[str, float]]:
    """Resumes the recorded run by its own config file and checkpoint."""
    shutil.copytree(HERE / RUN, RUN)
    args = build_parser().parse_args(["--config-file", f"{RUN}/config.yaml", "--resume"])
    return train(build_cfg(args), args).losses


def write(path: Path, content: dict) -> None:
    """Writes numbers with nine digits, which is more than a float32 holds."""
    rounded = json.loads(json.dumps(content), parse_float=lambda text: float(f"{float(text):.9g}"))
    path.write_text(json.dumps(rounded, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", required=True, type=Path, help="folder for the recordings")
    parser.add_argument("--resume", action="store_true", help="only resume the recorded run")
    options = parser.parse_args()
    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # names of files in configs and checkpoints stay relative
        os.environ["DETECTRON2_DATASETS"] = "."
        make_scenes(Path("scenes"))
        if options.resume:
            write(output / "resumed.json", resume_run())
            return
        for name in METHODS:
            write(output / f"{name}.json", record_method(name))
        write(output / "resumed.json", record_run())
        shutil.copytree(RUN, output / RUN, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
