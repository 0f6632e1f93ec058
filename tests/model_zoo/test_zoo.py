"""Configs and models by name; every published model's config builds and runs an image."""

import functools
from pathlib import Path

import pytest
import torch

from detectron2.modeling import build_model
from solo_d2 import model_zoo
from solo_d2.checkpoint import adapter_named, detect
from solo_d2.engine.dataset_checks import method_name
from solo_d2.engine.weights import preprocessing_of
from solo_d2.model_zoo import config_file, load_catalogue
from solo_d2.model_zoo.catalogue import architectures
from solo_d2.model_zoo.handler import cached_path
from solo_d2.utils.errors import InputError

MODELS = load_catalogue().models
CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SIZE = (64, 96)
# Published, but not at an address that lasts: it loads by path.
WITHOUT_ADDRESS = "freesolo/freesolo_R101"


def test_every_config_below_zoo_is_a_published_model():
    files = {
        p.relative_to(CONFIGS / "zoo").with_suffix("").as_posix() for p in (CONFIGS / "zoo").glob("*/*.yaml")
    }
    assert files == {*MODELS, WITHOUT_ADDRESS}
    assert model_zoo.get_config(WITHOUT_ADDRESS).MODEL.WEIGHTS == ""


@pytest.mark.parametrize("name", MODELS)
def test_config_treats_images_as_its_format_expects(name):
    cfg = model_zoo.get_config(name)
    assert cfg.MODEL.WEIGHTS == MODELS[name].address
    expected = adapter_named(name.partition("/")[0]).preprocessing
    assert expected.differences(preprocessing_of(cfg)) == []


def without_weights(cfg):
    cfg.merge_from_list(["MODEL.WEIGHTS", "", "MODEL.DEVICE", "cpu"])
    for key in ("PIXEL_MEAN", "PIXEL_STD"):
        cfg.MODEL[key] = []
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    for key in ("THRESH_WITH_CTR", "SQRT_SCORE", "CLIP_BEFORE_NMS"):
        cfg.MODEL.FCOS[key] = False
    return str(cfg.MODEL)


def test_models_of_one_architecture_have_one_config():
    """So that what is measured of one of them is true of all."""
    first = {
        architecture: without_weights(model_zoo.get_config(name))
        for architecture, name in architectures().items()
    }
    for name, published in MODELS.items():
        assert (
            without_weights(model_zoo.get_config(name)) == first[f"{published.method} {published.backbone}"]
        )


def format_of(published) -> str:
    """The format that a published file is in."""
    source = published.name.partition("/")[0]
    if published.method.startswith("CondInst"):
        return f"{source}-condinst" + "-bifpn" * ("BiFPN" in published.backbone)
    return source + "-decoupled" * (source == "original" and published.method.startswith("Decoupled"))


@pytest.mark.parametrize("name", MODELS)
def test_its_weights_have_names_in_its_format(name, build_shapes):
    """From the model's own names to its publisher's, recognized as such, and back to the same model."""
    _, model = build_shapes(name)
    own = {key: value.shape for key, value in model.state_dict().items()}
    adapter = adapter_named(format_of(MODELS[name]))
    assert adapter.without_name(own) == []
    foreign = adapter.from_native(model.state_dict())
    assert len(foreign) == len(own)
    assert not any(key.startswith(("head.", "semantic_branch.")) for key in foreign)
    assert detect(foreign) is adapter
    back = adapter.to_native(foreign)
    assert {key: value.shape for key, value in back.items()} == own


def first_alike() -> dict[str, str]:
    """Each published model -> the first one that differs from it in its weights only."""
    first, found = {}, {}
    for name in (*MODELS, WITHOUT_ADDRESS):
        cfg = model_zoo.get_config(name)
        cfg.MODEL.WEIGHTS = ""
        found[name] = first.setdefault(f"{cfg.MODEL}{cfg.INPUT.FORMAT}", name)
    return found


FIRST_ALIKE = first_alike()


def fill_at_random(model):
    """Weights under which activations neither vanish nor explode and every class is as likely as not."""
    torch.manual_seed(0)
    for name, value in model.state_dict().items():
        if value.ndim > 1:
            torch.nn.init.normal_(value, std=value[0].numel() ** -0.5)
        else:
            value.fill_(
                float(name.endswith(("norm.weight", "running_var", ".weights")) or ".scales." in name)
            )


@functools.cache
def run_an_image(name):
    """The instances that a published model's config finds with random weights."""
    cfg = model_zoo.get_config(name)
    cfg.MODEL.DEVICE = "meta"  # the methods' own initial values find nothing
    node = cfg.MODEL[method_name(cfg)]
    if "NUM_GRIDS" in node:
        node.NUM_GRIDS = [8, 7, 5, 4, 3]
    with torch.device("meta"):
        model = build_model(cfg)
    model = model.to_empty(device="cpu").eval()
    fill_at_random(model)
    settings = {
        "pixel_mean": cfg.MODEL.PIXEL_MEAN,
        "pixel_std": cfg.MODEL.PIXEL_STD,
        "sizes_of_interest": cfg.MODEL.CONDINST.SIZES_OF_INTEREST,
    }
    for key, buffer in model.named_buffers():
        if key not in model.state_dict():
            buffer.copy_(torch.tensor(settings[key]).view_as(buffer))
    image = torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8)
    with torch.no_grad():
        [result] = model([{"image": image, "height": 50, "width": 75}])
    return result["instances"]


@pytest.mark.parametrize("name", FIRST_ALIKE)
def test_it_builds_and_runs_an_image(name):
    """Deformable convolutions included, on a CPU; models that are alike share the run."""
    instances = run_an_image(FIRST_ALIKE[name])
    assert len(instances) > 0
    assert instances.image_size == (50, 75) and instances.pred_masks.shape[1:] == (50, 75)
    assert instances.pred_masks.dtype == torch.bool
    assert instances.pred_masks.any() and not instances.pred_masks.all()
    assert instances.scores.isfinite().all() and instances.scores.unique().numel() > 1
    assert instances.pred_boxes.tensor.isfinite().all()
    assert 0 <= instances.pred_classes.min() and instances.pred_classes.max() < 80


def test_names_and_paths():
    path = config_file("mmdet/solov2_R50_3x")
    assert path.is_file() and path == config_file("zoo/mmdet/solov2_R50_3x.yaml")
    assert config_file("SOLOv2/solov2_R50_3x").parent.name == "SOLOv2"
    for name in ("../setup", "mmdet/solov2_R50", ""):
        with pytest.raises(InputError, match="there is no config"):
            config_file(name)


def test_get(tmp_path, monkeypatch):
    name = "mmdet/solov2_light_448_R18_3x"
    model = model_zoo.get(name, pretrained=False, device="cpu")
    assert not model.training and model.device.type == "cpu"
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    monkeypatch.setattr("solo_d2.model_zoo.handler.download", lambda url, target, digest: target)
    adapter = adapter_named("mmdet")
    weights = {key: torch.full_like(value, 0.5) for key, value in model.state_dict().items()}
    path = cached_path(MODELS[name])
    path.parent.mkdir(parents=True)
    torch.save({"state_dict": adapter.from_native(weights)}, path)
    pretrained = model_zoo.get(name, device="cpu")
    assert all((value == 0.5).all() for value in pretrained.state_dict().values())
    as_path = model_zoo.get(f"zoo/{name}.yaml", device="cpu")
    assert all((value == 0.5).all() for value in as_path.state_dict().values())
    with pytest.raises(InputError, match="no published model SOLOv2/solov2_R50_3x"):
        model_zoo.get("SOLOv2/solov2_R50_3x")
