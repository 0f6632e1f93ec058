"""Image files made by chance: all doors see the same pixels, or all refuse the file in one line."""

import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from PIL import Image

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Boxes, Instances
from solo_d2.commands.predict.inputs import find_images
from solo_d2.commands.predict.pictures import Job, segment_pictures
from solo_d2.config import get_cfg
from solo_d2.data.datasets.coco_cleaning import clean_coco
from solo_d2.data.mappers import InstanceMapper, PanopticMapper, TwoViewMapper
from solo_d2.engine.evaluation_loader import SkippedImage, SkippingMapper
from solo_d2.inputs import to_array
from solo_d2.predictor import Predictor
from solo_d2.pseudo_labels.labeling import Labeling, select_all
from solo_d2.utils.errors import InputError, printable
from solo_d2.utils.image_file import read_image, read_labels, read_size
from solo_d2.utils.panoptic_png import read_ids, rgb_to_ids
from tests.fuzz.cases import few_and_many, run_cases
from tests.fuzz.image_files import NAMES, write_file

FILES_PER_CASE = 5
LONGEST_LINE = 600
MEGABYTES = 600  # damaged headers claim large pictures


class Brightness(torch.nn.Module):
    """One mask: where the first channel is bright."""

    def __init__(self, cfg):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, batched_inputs):
        return [{"instances": self._segment(**one)} for one in batched_inputs]

    def _segment(self, image, height, width):
        assert image.shape == (3, height, width)
        found = Instances((height, width))
        found.pred_masks = image[:1] > 128
        found.pred_boxes = Boxes(torch.tensor([[0.0, 0.0, width, height]]))
        found.scores, found.pred_classes = self.weight.detach(), torch.zeros(1, dtype=torch.int64)
        return found


@pytest.fixture
def cfg(tmp_path) -> CfgNode:
    """Returns a config without resizing and flips."""
    if "Brightness" not in META_ARCH_REGISTRY:
        META_ARCH_REGISTRY.register(Brightness)
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.DEVICE = "Brightness", "cpu"
    cfg.INPUT.FORMAT, cfg.INPUT.RANDOM_FLIP = "BGR", "none"
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = (0,), 0
    cfg.DATASETS.TRAIN = ("nothing_registered",)
    cfg.DATASETS.TEST = ()
    cfg.MODEL.WEIGHTS = str(tmp_path / "model.pth")
    torch.save({"model": {"weight": torch.ones(1)}}, cfg.MODEL.WEIGHTS)
    yield cfg
    if "nothing_registered" in MetadataCatalog:
        MetadataCatalog.remove("nothing_registered")


class Doors:
    """All ways of a file into the project; each returns RGB (H, W, 3) or raises ``InputError``."""

    def __init__(self, cfg: CfgNode):
        self.predictor = Predictor(cfg)
        self._cfg = cfg
        self._train, self._evaluate = InstanceMapper(cfg, is_train=True), SkippingMapper(cfg)
        self._panoptic = PanopticMapper(cfg, is_train=True)
        self._views = TwoViewMapper(cfg)
        self._views.view = lambda image: image

    def single(self) -> dict[str, Callable[[Path], np.ndarray]]:
        """Returns the doors for one file by their names."""
        return {
            "reader": read_image,
            "array": lambda path: to_array(path, "RGB"),
            "predictor": lambda path: _rgb(self.predictor.load(path)["image"]),
            "training": lambda path: _rgb(self._train(self._record(path))["image"]),
            "evaluation": self._evaluated,
            "views": lambda path: self._views(self._record(path))["image"][:, :, ::-1],
        }

    def _record(self, path: Path) -> dict:
        return {"file_name": str(path), "image_id": 1, "annotations": []}

    def _evaluated(self, path: Path) -> np.ndarray:
        sample = self._evaluate(self._record(path))
        if isinstance(sample, SkippedImage):
            raise InputError(sample.reason)
        return _rgb(sample["image"])

    def labels(self, path: Path) -> np.ndarray:
        """Trains with the file as image and as its semantic map: (H, W)."""
        return self._train({**self._record(path), "sem_seg_file_name": str(path)})["sem_seg"].numpy()

    def panoptic(self, path: Path) -> np.ndarray:
        """Trains with the file as image and as its panoptic PNG."""
        record = {**self._record(path), "pan_seg_file_name": str(path), "segments_info": []}
        return _rgb(self._panoptic(record)["image"])

    def demo(self, folder: Path, output: Path) -> tuple[int, list[str]]:
        """Predicts a folder: the number of pictures, and one line for each of the others."""
        images = find_images([str(folder)])
        targets = [output / f"{index}.png" for index in range(len(images))]
        outcome = segment_pictures(images, targets, Job(self._cfg, 0.5, 2), [None])
        assert len(list(output.iterdir())) == outcome.num_done
        return outcome.num_done, outcome.failures

    def pseudo_labels(self, folder: Path, names: list[str]) -> tuple[dict[str, tuple[int, int]], list[str]]:
        """Labels files: the sizes of those that can be used, and one line for each of the others."""
        job = Labeling(make_segmenter=None, select=select_all, store=None, root=folder, batch_size=2)
        shard = job.label(self.predictor, list(enumerate(names, start=1)))
        return {one["file_name"]: (one["height"], one["width"]) for one in shard.images}, shard.skipped


def _rgb(image: torch.Tensor) -> np.ndarray:
    return image.numpy().astype(np.uint8).transpose(1, 2, 0)[:, :, ::-1]


def outcome(door: Callable[[Path], object], path: Path) -> object:
    """Returns what a door gives, or the line with which it refuses."""
    try:
        return door(path)
    except InputError as error:
        return checked(str(error), path.name)


def checked(line: str, name: str = "") -> str:
    assert line.isprintable() and len(line) < LONGEST_LINE and printable(name) in line, line
    return line


def check_file(doors: Doors, path: Path) -> np.ndarray | str:
    """Compares the doors of one file; returns its pixels or the line."""
    found = outcome(read_image, path)
    for name, door in doors.single().items():
        other = outcome(door, path)
        same = other == found if isinstance(found, str) else np.array_equal(found, other)
        assert same, (name, found, other)
    refused = isinstance(found, str)
    size, ids, labels = (outcome(reader, path) for reader in (read_size, read_ids, read_labels))
    if isinstance(size, str):
        assert refused  # and sometimes the pixels are refused that follow a sound header
    elif not refused:
        assert size == found.shape[:2]
    for reader, mapper in ((labels, doors.labels), (ids, doors.panoptic)):
        trained = outcome(mapper, path)
        assert isinstance(trained, str) == (refused or isinstance(reader, str)), (reader, trained)
    if not refused:
        assert not isinstance(labels, str) and np.array_equal(labels[:, :, 0], doors.labels(path))
        assert isinstance(ids, str) or np.array_equal(ids, rgb_to_ids(found))
    check_pil_image(path, found)
    return found


def check_pil_image(path: Path, found: np.ndarray | str) -> None:
    """Checks that a file that the caller opens with Pillow gets the same answer as its path."""
    try:
        image = Image.open(path)
    except Exception:  # at the caller's, before any door
        assert isinstance(found, str)
        return
    with image:
        try:
            other = to_array(image, "RGB")
        except InputError as error:
            assert isinstance(found, str), (found, str(error))
            checked(str(error))
        else:
            assert not isinstance(found, str) and np.array_equal(other, found), found


def check_folder(doors: Doors, folder: Path, output: Path, found: dict[str, np.ndarray | str]) -> None:
    """Compares the doors of a folder and of lists of files with the answers for each file."""
    refused = {name: line for name, line in found.items() if isinstance(line, str)}
    sizes = {name: array.shape[:2] for name, array in found.items() if name not in refused}
    assert doors.pseudo_labels(folder, list(found)) == (sizes, list(refused.values()))
    files = {name for name in found if (folder / name).is_file()}
    if files:
        done, failures = doors.demo(folder, output)
        assert done == len(sizes) and sorted(failures) == sorted(
            refused[name] for name in files & refused.keys()
        )
    records = [{"id": index, "file_name": name} for index, name in enumerate(found, start=1)]
    content = {"images": records, "annotations": [], "categories": [{"id": 1, "name": "object"}]}
    measured = {name: outcome(read_size, folder / name) for name in found}
    assert sizes.items() <= measured.items()
    kept = {name: size for name, size in measured.items() if not isinstance(size, str)}
    try:
        images = clean_coco(content, "a.json", folder)[0]["images"]
    except InputError as error:
        assert not kept and checked(str(error), "a.json")
    else:
        assert {one["file_name"]: (one["height"], one["width"]) for one in images} == kept


@few_and_many(10, 100)
def test_image_files(cfg, tmp_path, count, capfd):
    """Each case has five files."""
    doors, answers = Doors(cfg), []

    def one_case(data):
        names = data.draw(st.lists(st.sampled_from(NAMES), min_size=5, max_size=FILES_PER_CASE, unique=True))
        folder, output = tmp_path / "images", tmp_path / "output"
        folder.mkdir()
        output.mkdir()
        try:
            for name in names:
                write_file(folder, name, data)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.filterwarnings("ignore", module=r"PIL\.")  # as solo_d2.utils.image_file does
                found = {name: check_file(doors, folder / name) for name in names}
                check_folder(doors, folder, output, found)
            answers.extend(isinstance(one, str) for one in found.values())
        finally:
            shutil.rmtree(folder)
            shutil.rmtree(output)

    run_cases(count, one_case, MEGABYTES)
    # libtiff writes a line of its own, such as "ZIPDecode: ...", for damaged strips and tags.
    lines = [line for line in capfd.readouterr().err.splitlines() if not re.match(r"\w+: ", line)]
    assert not lines, lines[:5]
    assert 0.2 < sum(answers) / len(answers) < 0.8  # neither all good nor all refused
