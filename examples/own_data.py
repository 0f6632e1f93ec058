"""Trains on own data, evaluates, and draws predictions.

python examples/own_data.py train.json train/ val.json val/ output/mine
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import solo_d2


def main(
    train_data: tuple[str, str], val_data: tuple[str, str], output: str, opts: Sequence = ()
) -> solo_d2.Result:
    """Trains a small model.

    Args:
        train_data: Annotation file in COCO's format, and image folder.
        val_data: The same for validation.
        output: Folder of the results.
        opts: Config keys and values, such as ``["SOLVER.MAX_ITER", 300]``.
    """
    result = solo_d2.train(
        "quick/solov2_tiny", train_data=train_data, val_data=val_data, output_dir=output, opts=opts
    )
    print("mask AP", result.metrics["segm/AP"])
    predictor = result.predictor(score_threshold=0.3)
    for found in predictor.stream(val_data[1]):
        found.save(Path(output, "pictures", Path(found.path).name))
        print(found.path, found.class_names)
    return result


if __name__ == "__main__":
    main((sys.argv[1], sys.argv[2]), (sys.argv[3], sys.argv[4]), sys.argv[5])
