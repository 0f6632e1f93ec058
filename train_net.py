#!/usr/bin/env python
"""Trains and evaluates.

    python train_net.py --config-file configs/quick/solov2_tiny.yaml
    python train_net.py --config-file configs/SOLOv2/solov2_R50_3x.yaml --num-gpus 8
    python train_net.py --config-file configs/quick/solov2_tiny.yaml \\
        --train-json train.json --train-images train/ --val-json val.json --val-images val/
    python train_net.py --config-file configs/quick/densecl_tiny.yaml --train-unlabelled photos/
    python train_net.py --config-file ... --resume
    python train_net.py --config-file ... --eval-only MODEL.WEIGHTS output/model_final.pth
    torchrun --nproc_per_node 8 train_net.py --config-file ...

Config keys follow at the end as KEY VALUE. Results: OUTPUT_DIR/evaluation.json, metrics.json.
"""

from solo_d2.commands import train
from solo_d2.engine.cli import run_cli


def main() -> None:
    """Runs ``solo-d2 train``."""
    train.run(train.build_parser(__doc__).parse_args())


if __name__ == "__main__":
    run_cli(main)
