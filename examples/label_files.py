"""Labels pictures with a model, for LabelMe, YOLO and COCO.

python examples/label_files.py output/mine/config.yaml output/mine/model_final.pth photos/ labels/
"""

import json
import sys
from pathlib import Path

import solo_d2


def main(config: str, weights: str, pictures: str, output: str, score_threshold: float = 0.5) -> None:
    """Writes a LabelMe and a YOLO file per picture, and one COCO results file.

    Args:
        config: Config of the model.
        weights: Its weights.
        pictures: A folder.
        output: Folder of the labels.
        score_threshold: Results below this score are left out.
    """
    predictor = solo_d2.Predictor(config, weights, score_threshold=score_threshold)
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, found in enumerate(predictor.stream(pictures), start=1):
        name = Path(found.path).stem
        (folder / f"{name}.json").write_text(json.dumps(found.to_labelme()))
        (folder / f"{name}.txt").write_text("\n".join(found.to_yolo()))
        rows += found.to_coco(image_id=number)
    (folder / "results.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4])
