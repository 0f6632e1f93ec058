"""Evaluates a model's weights on DATASETS.TEST, or on own data.

solo-d2 eval --config-file quick/solov2_tiny MODEL.WEIGHTS output/model_final.pth
solo-d2 eval --config-file zoo/mmdet/solov2_R50_3x
solo-d2 eval --config-file output/config.yaml --val-json val.json --val-images val/ MODEL.WEIGHTS model.pth

--config-file takes a path or the name of a config of this package. Results: OUTPUT_DIR/evaluation.json.
"""

import argparse

from . import train

run = train.run


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of ``train`` with --eval-only set."""
    parser = train.build_parser(description)
    parser.set_defaults(eval_only=True)
    return parser
