"""Hand-computed cases, the official implementation's recorded numbers, and a loop over pixels."""

import json
import math

import numpy as np
import pytest

from solo_d2.evaluation.panoptic_quality import PanopticCounts, count_image, panoptic_quality
from solo_d2.utils.atomic_file import write_bytes
from solo_d2.utils.errors import InputError
from solo_d2.utils.panoptic_png import encode_ids

CATEGORIES = [
    {"id": 1, "name": "cat", "isthing": 1},
    {"id": 2, "name": "dog", "isthing": 1},
    {"id": 7, "name": "sky", "isthing": 0},
]
IDS = [c["id"] for c in CATEGORIES]
CASES = ["all", "drop", "merge", "relabel", "same", "shift", "split", "void"]


def segments(ids, categories, crowds=()):
    """Records of an annotation: ``categories`` by segment id."""
    return [
        {
            "id": number,
            "category_id": category,
            "area": int((ids == number).sum()),
            "iscrowd": int(number in crowds),
        }
        for number, category in categories.items()
    ]


def count(truth, truth_categories, predicted, predicted_categories, crowds=()):
    """Counts a one-row image given as lists of ids."""
    truth, predicted = np.array([truth]), np.array([predicted])
    return count_image(
        truth,
        segments(truth, truth_categories, crowds),
        predicted,
        [{"id": number, "category_id": c} for number, c in predicted_categories.items()],
        IDS,
    )


def numbers(counts, category):
    found = counts[category]
    return found.iou, found.tp, found.fp, found.fn


def test_truth_against_itself():
    counts = count([1, 1, 2, 3], {1: 1, 2: 2, 3: 7}, [5, 5, 9, 4], {5: 1, 9: 2, 4: 7})
    assert all(numbers(counts, category) == (1.0, 1, 0, 0) for category in IDS)
    assert counts.summary(CATEGORIES)["All"] == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "n": 3}


def test_iou_of_exactly_one_half_is_no_match():
    assert numbers(count([1] * 4, {1: 1}, [1, 1, 2, 2], {1: 1, 2: 2}), 1) == (0.0, 0, 1, 1)
    assert numbers(count([1] * 4, {1: 1}, [1, 1, 1, 2], {1: 1, 2: 2}), 1) == (0.75, 1, 0, 0)


def test_wrong_class():
    counts = count([1] * 4, {1: 1}, [1] * 4, {1: 2})
    assert numbers(counts, 1) == (0.0, 0, 0, 1)
    assert numbers(counts, 2) == (0.0, 0, 1, 0)


def test_split():
    counts = count([1] * 10, {1: 1}, [1] * 7 + [2] * 3, {1: 1, 2: 1})
    assert numbers(counts, 1) == (0.7, 1, 1, 0)
    assert counts[1].quality() == {"pq": 0.7 / 1.5, "sq": 0.7, "rq": 1 / 1.5, "n": 1}


def test_merge():
    counts = count([1] * 6 + [2] * 4, {1: 1, 2: 1}, [1] * 10, {1: 1})
    assert numbers(counts, 1) == (0.6, 1, 0, 1)


def test_void_leaves_the_union():
    counts = count([1] * 4 + [0] * 4, {1: 1}, [1] * 8, {1: 1})
    assert numbers(counts, 1) == (1.0, 1, 0, 0)
    # So do ids that the annotation's list lacks.
    assert numbers(count([1] * 4 + [9] * 4, {1: 1}, [1] * 8, {1: 1}), 1) == (1.0, 1, 0, 0)


def test_prediction_in_void_is_no_false_positive():
    assert numbers(count([0] * 3 + [1] * 2, {1: 7}, [4] * 5, {4: 1}), 1) == (0.0, 0, 0, 0)
    assert numbers(count([0] * 2 + [1] * 2, {1: 7}, [4] * 4, {4: 1}), 1) == (0.0, 0, 1, 0)


def test_crowd_needs_no_match_and_absorbs_its_class():
    counts = count([1] * 4, {1: 1}, [5, 5, 6, 6], {5: 1, 6: 2}, crowds=(1,))
    assert numbers(counts, 1) == (0.0, 0, 0, 0)
    assert numbers(counts, 2) == (0.0, 0, 1, 0)
    # Crowd and void add up; exactly one half is not enough.
    assert numbers(count([1, 0, 2, 2], {1: 1, 2: 7}, [5] * 4, {5: 1}, crowds=(1,)), 1)[2] == 1
    assert numbers(count([1, 0, 0, 2], {1: 1, 2: 7}, [5] * 4, {5: 1}, crowds=(1,)), 1)[2] == 0


def test_areas_are_measured():
    truth = np.array([[1, 1, 1, 1]])
    record = [{"id": 1, "category_id": 1, "area": 8, "iscrowd": 0}]
    counts = count_image(truth, record, truth, [{"id": 1, "category_id": 1}], IDS)
    assert numbers(counts, 1) == (1.0, 1, 0, 0)


def test_true_segments_without_a_pixel_do_not_count():
    counts = count([1] * 4, {1: 1, 2: 2}, [1] * 4, {1: 1})
    assert counts.empty == 1
    assert numbers(counts, 1) == (1.0, 1, 0, 0) and numbers(counts, 2) == (0.0, 0, 0, 0)


def test_nothing_at_all():
    summary = count([0, 0], {}, [0, 0], {}).summary(CATEGORIES)
    assert summary["All"]["n"] == 0 and math.isnan(summary["All"]["pq"])
    assert summary["per_class"][1] == {"pq": 0.0, "sq": 0.0, "rq": 0.0, "n": 0}


@pytest.mark.parametrize(
    ("predicted", "categories", "line"),
    [
        ([1, 3], {1: 1}, "segment 3 is in the PNG, but not in the JSON"),
        ([1, 1], {1: 1, 4: 1}, "segment 4 is in the JSON, but not in the PNG"),
        ([1, 1], {1: 5}, "category_id 5"),
        ([1, 1, 1], {1: 1}, r"the prediction is \(1, 3\), the annotation \(1, 2\)"),
    ],
)
def test_contradictions_are_named(predicted, categories, line):
    with pytest.raises(InputError, match=line):
        count([1, 1], {1: 1}, predicted, categories)


def by_loops(truth, truth_categories, predicted, predicted_categories, crowds):
    """One pair of masks at a time; {category: [iou, tp, fp, fn]}."""
    found = {category: [0.0, 0, 0, 0] for category in IDS}
    hits, used = set(), set()
    for t, category in truth_categories.items():
        for p, other in predicted_categories.items():
            a, b = truth == t, predicted == p
            union = a.sum() + b.sum() - (a & b).sum() - (b & (truth == 0)).sum()
            if category == other and t not in crowds and (a & b).sum() / union > 0.5:
                found[category][0] += (a & b).sum() / union
                found[category][1] += 1
                hits.add(t), used.add(p)
    for t, category in truth_categories.items():
        found[category][3] += t not in hits and t not in crowds
    for p, category in predicted_categories.items():
        crowd = [t for t in crowds if truth_categories[t] == category][-1:]
        ignored = ((predicted == p) & np.isin(truth, [0, *crowd])).sum() / (predicted == p).sum()
        found[category][2] += p not in used and ignored <= 0.5
    return found


def test_equals_the_loop_on_random_cases():
    rng = np.random.default_rng(0)
    for _ in range(300):
        size = rng.integers(1, 12, 2)
        truth = np.kron(rng.integers(0, 4, size), np.ones((3, 3), int)) * 70000
        predicted = np.where(rng.random(truth.shape) < 0.8, truth // 70000, rng.integers(0, 6, truth.shape))
        truth_categories = {int(t): IDS[rng.integers(3)] for t in np.unique(truth) if t}
        predicted_categories = {int(p): IDS[rng.integers(3)] for p in np.unique(predicted) if p}
        predicted_categories.update(
            {t // 70000: c for t, c in truth_categories.items() if t // 70000 in predicted_categories}
        )
        crowds = [t for t in truth_categories if rng.random() < 0.2]
        counts = count_image(
            truth,
            segments(truth, truth_categories, crowds),
            predicted,
            [{"id": p, "category_id": c} for p, c in predicted_categories.items()],
            IDS,
        )
        expected = by_loops(truth, truth_categories, predicted, predicted_categories, crowds)
        for category in IDS:
            assert numbers(counts, category) == pytest.approx(expected[category], abs=1e-12)


@pytest.fixture
def sample(golden):
    """Two COCO images' panoptic annotation, where it is at hand."""
    folder = golden("panoptic").folder.parents[1] / "data" / "coco_panoptic_sample"
    if not folder.is_dir():
        pytest.skip("the two COCO images are not next to the repository")
    return folder


def measure_files(truth_json, prediction_json, *folders, **options):
    truth, predicted = (json.loads(path.read_text()) for path in (truth_json, prediction_json))
    return panoptic_quality(truth, predicted["annotations"], *folders, **options)


@pytest.mark.parametrize("case", CASES)
def test_golden_official_numbers(golden, sample, case):
    folder = golden("panoptic").folder / case
    expected = json.loads((folder / "expected.json").read_text())
    found = measure_files(
        sample / "panoptic_examples.json", folder / "pred.json", sample / "panoptic_examples", folder
    )
    for group in ("All", "Things", "Stuff"):
        assert found[group] == pytest.approx(expected[group], abs=1e-9)
    assert len(found["per_class"]) == len(expected["per_class"])
    for category, quality in expected["per_class"].items():
        own = found["per_class"][int(category)]
        assert {name: own[name] for name in quality} == pytest.approx(quality, abs=1e-9)


def test_the_two_real_images_against_themselves(sample):
    json_file, folder = sample / "panoptic_examples.json", sample / "panoptic_examples"
    found = measure_files(json_file, json_file, folder, folder)
    annotations = json.loads(json_file.read_text())["annotations"]
    occurring = {s["category_id"] for a in annotations for s in a["segments_info"] if not s["iscrowd"]}
    assert {c for c, quality in found["per_class"].items() if quality["n"]} == occurring
    assert all(found["per_class"][category]["pq"] == 1 for category in occurring)


def write_set(folder, name, count):
    """Writes ``count`` images of two segments as an annotation set; returns JSON and folder."""
    annotations = []
    for number in range(count):
        ids = np.ones((6, 8), int)
        ids[:, number % 7 :] = 2
        write_bytes(folder / name / f"{number}.png", encode_ids(ids))
        info = segments(ids, {i: {1: 1, 2: 7}[i] for i in np.unique(ids).tolist()})
        annotations.append({"image_id": number, "file_name": f"{number}.png", "segments_info": info})
    content = {"annotations": annotations, "categories": CATEGORIES}
    (folder / f"{name}.json").write_text(json.dumps(content))
    return folder / f"{name}.json", folder / name


def test_processes_change_nothing(tmp_path):
    truth_json, truth_folder = write_set(tmp_path, "truth", 20)
    arguments = (truth_json, truth_json, truth_folder, truth_folder)
    assert measure_files(*arguments, workers=2) == measure_files(*arguments, workers=1)


def test_missing_prediction_is_named(tmp_path):
    truth_json, truth_folder = write_set(tmp_path, "truth", 3)
    other_json, other_folder = write_set(tmp_path, "other", 2)
    with pytest.raises(InputError, match="no prediction for image 2"):
        measure_files(truth_json, other_json, truth_folder, other_folder)


def test_few_unusable_annotated_files_do_not_count(tmp_path, caplog):
    truth_json, truth_folder = write_set(tmp_path, "truth", 21)
    other_json, other_folder = write_set(tmp_path, "other", 21)
    arguments = (truth_json, other_json, truth_folder, other_folder)
    before = measure_files(*arguments)
    for number in range(2):
        (truth_folder / f"{number}.png").write_bytes((truth_folder / f"{number}.png").read_bytes()[:50])
    assert measure_files(*arguments) == before
    assert "2 of 21 images do not count: image " in caplog.text
    (truth_folder / "2.png").write_text("no picture")
    with pytest.raises(InputError, match="truth: 3 of 21 PNG files cannot be used: image .*2.png"):
        measure_files(*arguments)


def test_counts_of_parts_add_up():
    total = PanopticCounts()
    for _ in range(2):
        total.add(count([1] * 4, {1: 1}, [1, 1, 1, 2], {1: 1, 2: 2}))
    assert numbers(total, 1) == (1.5, 2, 0, 0) and numbers(total, 2) == (0.0, 0, 2, 0)
