"""Result files and numbers, also next to the official package's where that is installed."""

import importlib.util
import json
import logging
import math

import numpy as np
import pytest
import torch

from detectron2.data import MetadataCatalog
from solo_d2.evaluation.panoptic_evaluation import PanopticEvaluator
from solo_d2.utils.atomic_file import write_bytes
from solo_d2.utils.errors import InputError
from solo_d2.utils.panoptic_png import encode_ids, read_ids

NAME = "panoptic_evaluated"
CATEGORIES = [
    {"id": 3, "name": "cat", "isthing": 1},
    {"id": 5, "name": "dog", "isthing": 1},
    {"id": 9, "name": "sky", "isthing": 0},
    {"id": 11, "name": "sea", "isthing": 0},
]


@pytest.fixture
def dataset(tmp_path):
    """Three images: a cat (two thirds of the width) before the sky."""
    ids = np.full((6, 9), 70000)
    ids[:, 6:] = 12
    annotations = []
    for number in range(3):
        write_bytes(tmp_path / "truth" / f"{number}.png", encode_ids(ids))
        info = [
            {"id": 70000, "category_id": 3, "area": 36, "iscrowd": 0},
            {"id": 12, "category_id": 9, "area": 18, "iscrowd": 0},
        ]
        annotations.append({"image_id": number, "file_name": f"{number}.png", "segments_info": info})
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"info": "x", "annotations": annotations, "categories": CATEGORIES}))
    MetadataCatalog.get(NAME).set(
        panoptic_json=str(path),
        panoptic_root=str(tmp_path / "truth"),
        thing_dataset_id_to_contiguous_id={3: 0, 5: 1},
        stuff_dataset_id_to_contiguous_id={0: 0, 9: 1, 11: 2},
    )
    yield tmp_path
    MetadataCatalog.remove(NAME)


def make_outputs():
    """The second image's cat is a dog, the third's a third narrower."""
    outputs = []
    for label, width in ((0, 6), (1, 6), (0, 4)):
        ids = torch.full((6, 9), 2, dtype=torch.int32)
        ids[:, :width] = 1
        segments = [
            {"id": 1, "isthing": True, "category_id": label, "score": 0.5, "instance_id": 0},
            {"id": 2, "isthing": False, "category_id": 1, "area": 18},
        ]
        outputs.append({"panoptic_seg": (ids, segments)})
    return outputs


INPUTS = [{"image_id": number, "file_name": f"anywhere/{number}.jpg"} for number in range(3)]


def evaluate(evaluator):
    evaluator.reset()
    for image, output in zip(INPUTS, make_outputs(), strict=True):
        evaluator.process([image], [output])
    return evaluator.evaluate()["panoptic_seg"]


def test_segments_of_classes_that_the_file_lacks_are_void(dataset):
    truth = json.loads((dataset / "truth.json").read_text())
    truth["categories"] = [category for category in CATEGORIES if category["name"] != "dog"]
    (dataset / "truth.json").write_text(json.dumps(truth))
    MetadataCatalog.get(NAME).set(absent_ids=[5])
    results = evaluate(PanopticEvaluator(NAME, str(dataset / "out")))
    assert results["PQ_th"] == pytest.approx(100 * (1 + 2 / 3) / (2 + 0.5)) and "PQ-dog" not in results
    written = json.loads((dataset / "out" / "predictions.json").read_text())["annotations"]
    assert [[s["category_id"] for s in one["segments_info"]] for one in written] == [[3, 9], [9], [3, 9]]
    assert np.unique(read_ids(dataset / "out" / "predictions" / "1.png")).tolist() == [0, 2]


def test_numbers_files_and_table(dataset, caplog):
    with caplog.at_level(logging.INFO):
        results = evaluate(PanopticEvaluator(NAME, str(dataset / "out")))
    cat = 100 * (1 + 2 / 3) / (2 + 0.5)  # matches 1 and 24 / 36, one missed
    sky = 100 * (1 + 1 + 18 / 30) / 3
    assert results["PQ-cat"] == pytest.approx(cat) and results["PQ-dog"] == 0
    assert results["PQ-sky"] == pytest.approx(sky) == results["PQ_st"] == results["SQ_st"]
    assert math.isnan(results["PQ-sea"])
    assert results["PQ_th"] == pytest.approx(cat / 2)
    assert results["PQ"] == pytest.approx((cat + sky) / 3)
    assert results["RQ_th"] == pytest.approx(50 * 2 / 2.5)
    assert "| Stuff  | 86.667 | 86.667 | 100.000 |       1       |" in caplog.text
    assert "#categories" in caplog.text and "sea" not in caplog.text

    written = json.loads((dataset / "out" / "predictions.json").read_text())
    assert written["categories"] == CATEGORIES and written["info"] == "x"
    assert [a["image_id"] for a in written["annotations"]] == [0, 1, 2]
    assert [s["category_id"] for s in written["annotations"][1]["segments_info"]] == [5, 9]
    assert set(written["annotations"][0]) == {"image_id", "file_name", "segments_info"}
    ids = read_ids(dataset / "out" / "predictions" / written["annotations"][2]["file_name"])
    assert np.array_equal(ids, make_outputs()[2]["panoptic_seg"][0].numpy())


def test_images_of_one_name_in_two_folders(dataset):
    """Two folders that both hold a 0.jpg: the second image's PNG was written over the first's."""
    expected = evaluate(PanopticEvaluator(NAME, str(dataset / "expected")))
    evaluator = PanopticEvaluator(NAME, str(dataset / "out"))
    names = ("left/0.jpg", "right/0.jpg", "right/0_2.jpg")
    for image, name, output in zip(INPUTS, names, make_outputs(), strict=True):
        evaluator.process([{**image, "file_name": name}], [output])
    measured = evaluator.evaluate()["panoptic_seg"]
    assert repr(measured) == repr(expected)
    written = json.loads((dataset / "out" / "predictions.json").read_text())["annotations"]
    assert len({one["file_name"] for one in written}) == 3
    for one, output in zip(written, make_outputs(), strict=True):
        ids = read_ids(dataset / "out" / "predictions" / one["file_name"])
        assert np.array_equal(ids, output["panoptic_seg"][0].numpy())


def test_two_classes_of_one_name_keep_their_numbers(dataset):
    content = json.loads((dataset / "truth.json").read_text())
    expected = evaluate(PanopticEvaluator(NAME))
    content["categories"][2]["name"] = "cat"
    (dataset / "truth.json").write_text(json.dumps(content))
    measured = evaluate(PanopticEvaluator(NAME))
    assert measured["PQ-cat"] == expected["PQ-cat"] and measured["PQ-cat (9)"] == expected["PQ-sky"]


def test_without_a_folder_nothing_is_left(dataset):
    before = set(dataset.iterdir())
    assert evaluate(PanopticEvaluator(NAME))["PQ"] > 0
    assert set(dataset.iterdir()) == before


def test_segments_without_a_pixel_are_left_out(dataset):
    evaluator = PanopticEvaluator(NAME, str(dataset / "out"))
    for image, output in zip(INPUTS, make_outputs(), strict=True):
        output["panoptic_seg"][1].append({"id": 3, "isthing": False, "category_id": 2, "area": 0})
        evaluator.process([image], [output])
    assert math.isnan(evaluator.evaluate()["panoptic_seg"]["PQ-sea"])


def test_images_that_were_not_given_do_not_count(dataset):
    """The evaluation loader skips images that cannot be read."""
    evaluator = PanopticEvaluator(NAME)
    evaluator.process(INPUTS[:1], make_outputs()[:1])
    results = evaluator.evaluate()["panoptic_seg"]
    assert results["PQ-cat"] == results["PQ-sky"] == 100


def test_unreadable_annotation_is_named(dataset):
    (dataset / "truth.json").write_text("{")
    with pytest.raises(InputError, match="truth.json cannot be read"):
        evaluate(PanopticEvaluator(NAME))


@pytest.mark.skipif(
    importlib.util.find_spec("panopticapi") is None, reason="compares with panopticapi: not installed"
)
def test_agrees_with_panopticapi(dataset):
    from panopticapi.evaluation import pq_compute

    own = evaluate(PanopticEvaluator(NAME, str(dataset / "own")))
    official = pq_compute(
        str(dataset / "truth.json"),
        str(dataset / "own" / "predictions.json"),
        gt_folder=str(dataset / "truth"),
        pred_folder=str(dataset / "own" / "predictions"),
    )
    for group, suffix in (("All", ""), ("Things", "_th"), ("Stuff", "_st")):
        for measure in ("pq", "sq", "rq"):
            name = f"{measure.upper()}{suffix}"
            assert own[name] == pytest.approx(100 * official[group][measure], abs=1e-9), name
