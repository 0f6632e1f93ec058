"""Programs of torch.export: what they say, what is refused, and the results of :class:`Predictor` on them."""

import zipfile

import numpy as np
import pytest
import torch

from detectron2.data import Metadata
from solo_d2 import Predictor
from solo_d2.config import get_cfg
from solo_d2.export import export_torch, load_exported, torch_export
from solo_d2.modeling.fixed_inference import FixedInference
from solo_d2.utils.errors import InputError

LAMP = Metadata(thing_classes=["lamp"], thing_dataset_id_to_contiguous_id={7: 0})


class Lamp(FixedInference):
    """Finds the pixels above three quarters of white; one result per image, if it has any."""

    limit_key = "LIMIT"

    def __init__(self, model, num_candidates, masks):
        backbone = torch.nn.Identity()
        backbone.size_divisibility = 32
        network = torch.nn.Module()
        network.backbone, network.normalize, network.is_panoptic = backbone, lambda images: images, False
        network.device = torch.device("cpu")
        limits = {"limit": 1, "num_results": 1, "mask_stride": 1, "mask_threshold": 0.75}
        super().__init__(network, num_candidates or 1, **limits, nms=None, masks=masks)

    def predict(self, features, sizes):
        soft = features.mean(1, keepdim=True) / 255
        scores = soft.amax((2, 3))
        classes = torch.zeros_like(scores, dtype=torch.int64)
        return self.results(scores, scores > 0.75, classes=classes, masks=soft)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A file that finds bright pixels."""
    path = tmp_path_factory.mktemp("torch") / "lamp.pt2"
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TEST = 80
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_export, "fixed_inference", Lamp)
        export_torch(torch.nn.Identity(), cfg, LAMP, path)
    assert list(path.parent.iterdir()) == [path]
    return path


def test_the_predictor_runs_it(program):
    predictor = Predictor(program, batch_size=2)
    assert predictor.class_names == ["lamp"] and predictor.category_ids == {0: 7}
    dark = np.zeros((80, 100, 3), np.uint8)
    lit = dark.copy()
    lit[10:30, 40:60] = 255
    first, second, third = predictor([dark, lit, np.full((40, 45, 3), 255, np.uint8)])
    assert [len(one) for one in (first, second, third)] == [0, 1, 1]
    assert second.pred_boxes.tensor.tolist() == [[40, 10, 60, 30]] and third.pred_masks.all()


def change(path, name, content):
    """Replaces a member of an archive; None leaves it out."""
    with zipfile.ZipFile(path) as archive:
        members = {one: archive.read(one) for one in archive.namelist()}
    (name,) = (one for one in members if one.endswith(name))
    del members[name]
    with zipfile.ZipFile(path, "w") as archive:
        for one, value in {**members, **({} if content is None else {name: content})}.items():
            archive.writestr(one, value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", "cannot be read: No such file"),
        ("cut", "is not a model that solo-d2 export has written, or it is damaged"),
        ("foreign", "is not a model that solo-d2 export has written"),
        ("changed", "is damaged: its checksum differs"),
    ],
)
def test_files_that_cannot_be_used(program, tmp_path, damage, message):
    path = tmp_path / "lamp.pt2"
    path.write_bytes(program.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-50])
    elif damage == "foreign":
        change(path, "solo_d2.checksum", None)
    else:
        change(path, "solo_d2.json", b"{}")
    with pytest.raises(InputError, match=message) as info:
        load_exported(path)
    assert str(path) in str(info.value)


def test_what_is_refused(program, tmp_path):
    with pytest.raises(InputError, match="lamp.pt2 is computed in fp32, not bf16"):
        load_exported(program, "bf16")
    with pytest.raises(InputError, match="model.onnx: the file name must end in .pt2"):
        export_torch(torch.nn.Identity(), get_cfg(), LAMP, tmp_path / "model.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["solov2_tiny", "panoptic_condinst_tiny"])
def test_real_files_give_the_eager_models_instances(build, same_instances, same_panoptic, tmp_path, name):
    cfg, model = build(name, "INPUT.MIN_SIZE_TEST", "96")
    path = tmp_path / "model.pt2"
    export_torch(model, cfg, Metadata(thing_classes=["a", "b", "c", "d", "e"]), path, num_candidates=500)
    exported = load_exported(path)
    images = [torch.rand(3, *size) * 255 for size in ((96, 130), (90, 70), (96, 130))]
    for batch in (images[:1], images):
        inputs = [{"image": image, "height": 2 * image.shape[1], "width": 100} for image in batch]
        with torch.no_grad():
            wanted = model(inputs)
        for mine, other in zip(exported(inputs), wanted, strict=True):
            same_instances(mine["instances"], other["instances"])
            same_panoptic(mine, other)
