import json
import sys

import numpy as np
import pytest

from detectron2.data import MetadataCatalog
from detectron2.evaluation import (
    DatasetEvaluators,
    SemSegEvaluator,
)
from solo_d2.evaluation.build import build_evaluator
from solo_d2.evaluation.class_agnostic import ClassAgnosticEvaluator
from solo_d2.evaluation.instance_evaluation import InstanceEvaluator
from solo_d2.evaluation.panoptic_evaluation import PanopticEvaluator
from solo_d2.utils.errors import InputError


@pytest.fixture
def dataset(tmp_path):
    """Returns ``name(evaluator_type)``: registers metadata with an empty COCO file."""
    path = tmp_path / "gt.json"
    path.write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    made = []

    def register(kind, **more):
        name = f"evaluated_{len(made)}"
        made.append(name)
        MetadataCatalog.get(name).set(
            json_file=str(path),
            evaluator_type=kind,
            thing_classes=[],
            stuff_classes=["sky"],
            ignore_label=255,
            panoptic_json=str(path),
            panoptic_root=str(tmp_path),
            thing_dataset_id_to_contiguous_id={},
            stuff_dataset_id_to_contiguous_id={},
            **more,
        )
        return name

    yield register
    for name in made:
        MetadataCatalog.remove(name)


def test_coco_measures_boxes_and_masks(dataset, tmp_path, monkeypatch):
    name = dataset("coco")
    assert isinstance(build_evaluator(name, str(tmp_path)), InstanceEvaluator)
    monkeypatch.setattr("solo_d2.evaluation.build.InstanceEvaluator", lambda *args, **kwargs: (args, kwargs))
    given, options = build_evaluator(name, str(tmp_path), 77)
    assert given == (name, ("bbox", "segm"))
    assert options == {"output_dir": str(tmp_path), "max_dets_per_image": 77}


def test_semantic_map_and_unknown_kind(dataset, tmp_path, monkeypatch):
    from detectron2.data import DatasetCatalog

    monkeypatch.setattr(DatasetCatalog, "get", lambda name: [])
    assert isinstance(build_evaluator(dataset("sem_seg"), str(tmp_path)), SemSegEvaluator)
    with pytest.raises(InputError, match="evaluator_type 'depth'"):
        build_evaluator(dataset("depth"), str(tmp_path))


def test_only_the_wanted_tasks(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("solo_d2.evaluation.build.InstanceEvaluator", lambda *args, **kwargs: args)
    assert build_evaluator(dataset("coco"), str(tmp_path), tasks=["bbox"])[1] == ("bbox",)


def test_class_agnostic_whatever_the_kind(dataset, tmp_path):
    for kind in ("coco", "lvis"):
        evaluator = build_evaluator(dataset(kind), str(tmp_path), tasks=["segm"], class_agnostic=True)
        assert isinstance(evaluator, ClassAgnosticEvaluator)


def test_lvis_counts_300_results(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("solo_d2.evaluation.build.LVISEvaluator", lambda *args, **kwargs: (args, kwargs))
    monkeypatch.delitem(sys.modules, "lvis", raising=False)
    name = dataset("lvis")
    given, options = build_evaluator(name, str(tmp_path), 77)
    assert given == (name, ("bbox", "segm")) and options["max_dets_per_image"] == 300


def test_lvis_that_cannot_work_is_one_line_at_once(dataset, tmp_path, monkeypatch):
    def missing(*args, **kwargs):
        raise ImportError("No module named 'lvis'")

    monkeypatch.setattr("solo_d2.evaluation.build.LVISEvaluator", missing)
    with pytest.raises(InputError, match="No module named 'lvis'; pip install"):
        build_evaluator(dataset("lvis"), str(tmp_path))
    monkeypatch.setattr("solo_d2.evaluation.build.LVISEvaluator", lambda *args, **kwargs: "evaluator")
    monkeypatch.setitem(sys.modules, "lvis", object())
    with pytest.raises(InputError, match="fails with numpy"):
        build_evaluator(dataset("lvis"), str(tmp_path))
    monkeypatch.setattr(np, "float", float, raising=False)
    assert build_evaluator(dataset("lvis"), str(tmp_path)) == "evaluator"


def test_panoptic_quality_and_what_else_there_is_truth_for(dataset, tmp_path, monkeypatch):
    from detectron2.data import DatasetCatalog

    monkeypatch.setattr(DatasetCatalog, "get", lambda name: [])
    everything = build_evaluator(dataset("coco_panoptic_seg", sem_seg_root="maps"), str(tmp_path))
    assert isinstance(everything, DatasetEvaluators)
    found = [type(evaluator) for evaluator in everything._evaluators]
    assert found == [InstanceEvaluator, SemSegEvaluator, PanopticEvaluator]
    alone = dataset("coco_panoptic_seg")
    del MetadataCatalog.get(alone).json_file
    assert isinstance(build_evaluator(alone, str(tmp_path)), PanopticEvaluator)
