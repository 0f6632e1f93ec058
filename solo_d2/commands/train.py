"""Trains and evaluates a model.

solo-d2 train --config-file quick/solov2_tiny
solo-d2 train --config-file SOLOv2/solov2_R50_3x --num-gpus 8
solo-d2 train --config-file quick/solov2_tiny \\
    --train-json train.json --train-images train/ --val-json val.json --val-images val/
solo-d2 train --config-file quick/densecl_tiny --train-unlabelled photos/
solo-d2 train --config-file ... --minutes 30
solo-d2 train --config-file ... --resume
torchrun --nproc_per_node 8 -m solo_d2 train --config-file ...

--config-file takes a path or the name of a config of this package. Config keys follow at the end as
KEY VALUE. Results: OUTPUT_DIR/evaluation.json, metrics.json.
"""

import argparse

from solo_d2.engine import run_config
from solo_d2.engine.run import run_command

run = run_command


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    return run_config.build_parser(description)
