"""Names of the checkpoint files in a training's folder."""

import os
import re
from collections.abc import Container

# The text file that names the checkpoint --resume continues from.
LAST_CHECKPOINT = "last_checkpoint"
# Names without ".pth". Detectron2 gives the first two kinds theirs: ``model_0000099``, ``model_final``.
MODEL, FINAL = "model", "model_final"
BEST, AVERAGED = "model_best", "model_final_ema"
# Checkpoints outside of SOLVER.CHECKPOINT_PERIOD: for --resume only.
RESUME = "resume"
# Files that only a training leaves, as patterns.
TRAINING_FILES = (LAST_CHECKPOINT, f"{MODEL}_[0-9]*.pth", f"{FINAL}.pth", f"{RESUME}_[0-9]*.pth")
_NUMBERED = re.compile(rf"({MODEL}|{RESUME})_(\d+)\.pth")


def resume_name(iteration: int) -> str:
    """Returns the name, without ".pth", of a checkpoint for ``--resume`` only."""
    return f"{RESUME}_{iteration:07d}"


def iteration_of(path: str | os.PathLike, kinds: Container[str] = (MODEL, RESUME)) -> int | None:
    """Returns the iteration in a checkpoint's name; None for a name of another kind."""
    numbered = _NUMBERED.fullmatch(os.path.basename(path))
    return int(numbered[2]) if numbered and numbered[1] in kinds else None
