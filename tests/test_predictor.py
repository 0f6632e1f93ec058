"""The predictor with a stand-in model whose masks are the red and the blue pixels of the input."""

import http.server
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.config import get_cfg as get_detectron2_cfg
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Boxes, Instances
from solo_d2 import model_zoo
from solo_d2.checkpoint import adapter_named
from solo_d2.config import get_cfg
from solo_d2.inputs import warn_of_order
from solo_d2.model_zoo import load_catalogue
from solo_d2.predictor import Predictor, load_config, load_metadata
from solo_d2.utils.errors import InputError
from solo_d2.utils.video_file import open_sink

BACKBONE = {"backbone.weight": torch.ones(1, 1), "backbone.bias": torch.ones(1)}
BLUE = (0, 0, 255)


class ColorSegmenter(torch.nn.Module):
    """Class 0 where channel 0 of the network input dominates, class 1 where channel 2 does."""

    def __init__(self, cfg):
        super().__init__()
        self.scores = torch.nn.Parameter(torch.zeros(2))
        self.backbone = torch.nn.Linear(1, 1)
        self.batch_sizes: list[int] = []

    def forward(self, batched_inputs):
        assert not self.training and not torch.is_grad_enabled()
        self.batch_sizes.append(len(batched_inputs))
        return [{"instances": self._segment(**one)} for one in batched_inputs]

    def _segment(self, image, height, width):
        resized = torch.nn.functional.interpolate(image[None], (height, width))[0]
        found = Instances((height, width))
        found.pred_masks = torch.stack([resized[0] > 128, resized[2] > 128])
        found.pred_boxes = Boxes(torch.tensor([[0.0, 0.0, width, height]] * 2))
        found.scores = self.scores.detach()
        found.pred_classes = torch.arange(2)
        return found


@pytest.fixture
def cfg():
    if "ColorSegmenter" not in META_ARCH_REGISTRY:
        META_ARCH_REGISTRY.register(ColorSegmenter)
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE = "ColorSegmenter"
    cfg.INPUT.FORMAT = "BGR"
    cfg.INPUT.MIN_SIZE_TEST = 64
    cfg.DATASETS.TEST = ("scenes_val",)
    return cfg


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"model": BACKBONE | {"scores": torch.tensor([0.9, 0.4])}}, path)
    return path


def assert_red_is_class_one(instances):
    """In a BGR network input red is the last channel."""
    assert instances.image_size == (20, 40)
    assert instances.pred_masks[1, :, :20].all() and not instances.pred_masks[1, :, 20:].any()
    assert instances.pred_masks[0, :, 30:].all() and not instances.pred_masks[0, :, :30].any()
    assert torch.allclose(instances.scores, torch.tensor([0.9, 0.4]))


def test_path_image_and_arrays_agree(cfg, weights, picture, tmp_path):
    predictor = Predictor(cfg, weights)
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert_red_is_class_one(predictor(tmp_path / "a.png"))
    assert_red_is_class_one(predictor(str(tmp_path / "a.png")))
    assert_red_is_class_one(predictor(Image.fromarray(picture)))
    assert_red_is_class_one(predictor((tmp_path / "a.png").read_bytes()))
    assert_red_is_class_one(predictor(picture))
    assert_red_is_class_one(predictor(picture, channels="RGB"))
    assert_red_is_class_one(predictor(picture[:, :, ::-1], channels="BGR"))
    assert predictor.cfg.MODEL.DEVICE == ("cuda" if torch.cuda.is_available() else "cpu")
    assert cfg.MODEL.WEIGHTS == "", "the caller's config is left alone"


def test_the_old_order_of_arrays_is_warned_of_once(cfg, weights, picture, tmp_path):
    Image.fromarray(picture).save(tmp_path / "a.png")
    predictor = Predictor(cfg, weights)
    warn_of_order.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for unambiguous in (tmp_path / "a.png", Image.fromarray(picture), picture[:, :, 0]):
            predictor(unambiguous)
        predictor(picture, channels="BGR")
        Predictor(cfg, weights, opts=["INPUT.FORMAT", "RGB"])(picture)
        assert caught == []
        predictor(picture)
        predictor([picture, picture])
    assert [str(warning.message) for warning in caught] == [str(caught[0].message)]
    assert 'channels="BGR" for arrays of OpenCV' in str(caught[0].message)


def test_a_stream_takes_folders_videos_and_generators(cfg, weights, picture, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("b.png", "a.png", "deep/c.png"):
        Image.fromarray(picture).save(tmp_path / "in" / name)
    predictor = Predictor(cfg, weights, batch_size=2)
    found = list(predictor.stream(tmp_path / "in"))
    assert [Path(one.path).name for one in found] == ["a.png", "b.png", "c.png"]
    assert predictor.model.batch_sizes == [2, 1]
    large = np.repeat(np.repeat(picture, 4, axis=0), 4, axis=1)
    with open_sink(tmp_path / "film.mp4", 10) as sink:
        for _ in range(3):
            sink.write(np.ascontiguousarray(large[:, :, ::-1]))
    frames = list(predictor.stream(str(tmp_path / "film.mp4")))
    assert len(frames) == 3
    for one in frames:
        assert one.pred_masks[1, :, 10:70].all() and one.pred_masks[0, :, 130:].all(), "OpenCV's order"
        assert one.picture[40, 40, 0] > 200 and one.picture[40, 40, 2] < 60
    drawn = []

    def pictures():
        for number in range(5):
            drawn.append(number)
            yield picture

    lazy = predictor.stream(pictures(), channels="RGB")
    assert_red_is_class_one(next(lazy))
    assert drawn == [0, 1], "no more than a batch is read ahead"
    assert len(list(lazy)) == 4
    (tmp_path / "empty").mkdir()
    for source, message in [(tmp_path / "empty", "has no pictures"), (7, "a int is no folder")]:
        with pytest.raises(InputError, match=message):
            list(predictor.stream(source))


def test_pictures_from_the_web(cfg, weights, picture, tmp_path, monkeypatch):
    Image.fromarray(picture).save(tmp_path / "a.png")
    content = {"/a.png": (tmp_path / "a.png").read_bytes(), "/large.png": b"x" * 5000}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = content.get(self.path)
            self.send_response(200 if body else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *arguments):
            pass

    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("solo_d2.inputs._LARGEST_PICTURE", 4000)
    predictor = Predictor(cfg, weights)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        found = predictor(f"{address}/a.png")
        assert_red_is_class_one(found)
        for name, message in [
            ("large.png", "has more than"),
            ("gone.png", "could not be fetched"),
            ("../x", "'..'"),
        ]:
            with pytest.raises(InputError, match=message):
                predictor(f"{address}/{name}")
        server.shutdown()
    assert found.path == f"{address}/a.png" and np.array_equal(found.picture, picture)


def test_list_is_batched_in_order(cfg, weights, picture):
    predictor = Predictor(cfg, weights, batch_size=2)
    blue = np.zeros((10, 10, 3), np.uint8) + np.array(BLUE, np.uint8)
    found = predictor([picture, blue, picture], channels="RGB")
    assert predictor.model.batch_sizes == [2, 1]
    assert [one.image_size for one in found] == [(20, 40), (10, 10), (20, 40)]
    assert found[1].pred_masks[0].all()
    assert predictor([]) == []


def test_score_threshold(cfg, weights, picture):
    assert Predictor(cfg, weights, score_threshold=0.5)(picture).pred_classes.tolist() == [0]
    assert len(Predictor(cfg, weights, score_threshold=0.95)(picture)) == 0


@pytest.mark.parametrize(
    "argument",
    [
        {"batch_size": -1},
        {"batch_size": 0},
        {"batch_size": 2.5},
        {"score_threshold": float("nan")},
        {"score_threshold": 20},
        {"score_threshold": -0.1},
        {"score_threshold": "0.5"},
        {"device": "gpu"},
        {"device": "cuda:99"},
    ],
)
def test_impossible_arguments_are_named(cfg, weights, argument):
    ((name, value),) = argument.items()
    with pytest.raises(InputError, match=f"^{name} '?{value}'?"):
        Predictor(cfg, weights, **argument)


def test_config_path_and_overrides(weights, picture, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("INPUT:\n  FORMAT: RGB\n")
    cfg = load_config(config, ["INPUT.MIN_SIZE_TEST", "32"])
    assert (cfg.INPUT.FORMAT, cfg.INPUT.MIN_SIZE_TEST) == ("RGB", 32)
    assert load_config(cfg, ["INPUT.FORMAT", "BGR"]).INPUT.FORMAT == "BGR"
    assert cfg.INPUT.FORMAT == "RGB"


@pytest.mark.parametrize(
    ("text", "opts", "message"),
    [
        (None, [], "config.yaml"),
        ("MODEL: [", [], "config.yaml"),
        ("MODEL: {DEVISE: cpu}", [], "DEVISE"),
        ("VERSION: 2", ["MODEL.DEVISE", "cpu"], "DEVISE"),
        ("VERSION: 2", ["INPUT.MIN_SIZE_TEST", "wide"], "MIN_SIZE_TEST"),
        ("VERSION: 2", ["INPUT.MIN_SIZE_TEST"], "MIN_SIZE_TEST"),
    ],
)
def test_bad_config_is_one_line(tmp_path, text, opts, message):
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_config(tmp_path / "config.yaml", opts)
    assert "\n" not in str(caught.value)
    if text == "VERSION: 2" and len(opts) == 2:
        with pytest.raises(InputError, match=message):
            load_config(get_detectron2_cfg(), opts)


def test_bad_weights(cfg, weights, tmp_path):
    with pytest.raises(InputError, match="no weights"):
        Predictor(cfg)
    with pytest.raises(InputError, match=r"gone\.pth"):
        Predictor(cfg, tmp_path / "gone.pth")
    cut = tmp_path / "cut.pth"
    cut.write_bytes(weights.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"cut\.pth"):
        Predictor(cfg, cut)
    torch.save({"model": BACKBONE | {"scores": torch.zeros(3)}}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"scores \(3,\) in the file, \(2,\) here"):
        Predictor(cfg, tmp_path / "other.pth")
    torch.save({"model": BACKBONE}, tmp_path / "backbone.pth")
    with pytest.raises(InputError, match=r"lacks 1 of the model's 3 weights \(scores"):
        Predictor(cfg, tmp_path / "backbone.pth")


def test_published_models_have_names(weights):
    assert load_config("mmdet/solov2_light_448_R18_3x").INPUT.MIN_SIZE_TEST == 448
    with pytest.raises(InputError, match="did you mean mmdet/solov2_R50_3x"):
        Predictor("mmdet/solov2_R5_3x", weights)


def test_a_published_model_by_its_name(picture, tmp_path, monkeypatch):
    """A local file with the publisher's names stands for the download."""
    name = "mmdet/solov2_light_448_R18_3x"
    published = load_catalogue().find(name)
    torch.manual_seed(0)
    model = model_zoo.get(name, pretrained=False, device="cpu")
    model.head.category_predictor.bias.data.zero_()  # so that a class is as likely as not
    path = tmp_path / "solo_d2" / "mmdet" / Path(published.file).name
    path.parent.mkdir(parents=True)
    torch.save({"state_dict": adapter_named("mmdet").from_native(model.state_dict())}, path)
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    monkeypatch.setattr("solo_d2.model_zoo.download.hash_file", lambda path: published.sha256_start)
    predictor = Predictor(name, opts=["INPUT.MIN_SIZE_TEST", "64", "MODEL.DEVICE", "cpu"])
    own = model.state_dict()
    assert all(torch.equal(value, own[key]) for key, value in predictor.model.state_dict().items())
    assert (predictor.input_format, predictor.cfg.MODEL.WEIGHTS) == ("RGB", published.address)
    found = predictor(picture)
    assert len(found) > 0 and found.image_size == (20, 40) and found.scores.isfinite().all()


def test_a_pre_training_segments_nothing():
    config = Path(__file__).resolve().parents[1] / "configs" / "quick" / "densecl_tiny.yaml"
    with pytest.raises(InputError, match="DenseCL is a pre-training"):
        Predictor(config, "x.pth")


def test_bad_pictures(cfg, weights, picture, tmp_path):
    predictor = Predictor(cfg, weights)
    Image.fromarray(picture).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    Image.fromarray(np.full((4, 5), 60000, np.uint16)).save(tmp_path / "deep.png")
    for bad, message in [
        (tmp_path / "gone.jpg", "does not exist"),
        (tmp_path, "is a folder, not a picture: predictor.stream"),
        ("film.mp4", "is a video, not a picture: predictor.stream"),
        (b"no picture", "no image"),
        (tmp_path / "text.jpg", "no image"),
        (tmp_path / "cut.png", "cannot be read"),
        (tmp_path / "deep.png", "convert it to 8 bits"),
        (picture.astype(np.float32) / 255, "float32"),
        (picture[:, :, :2], "shape"),
        (picture[:0], "shape"),
        (7, "int"),
    ]:
        with pytest.raises(InputError, match=message):
            predictor(bad)
    for one in (picture, "a.png", tmp_path / "a.png", Image.fromarray(picture)):
        with pytest.raises(InputError, match="is not a list of pictures"):
            predictor.predict(one)
    for one in (Image.new("RGB", (0, 5)), Image.new("I;16", (5, 5)), torch.zeros(3, 4, 4), None):
        with pytest.raises(InputError, match="no pixels|more than 8 bits|is not a picture"):
            predictor(one)
    with pytest.raises(InputError, match="GBR"):
        predictor(picture, channels="GBR")


def test_arrays_of_any_layout_agree(cfg, weights, picture, tmp_path):
    predictor = Predictor(cfg, weights)
    wide = np.zeros((40, 80, 6), np.uint8)
    wide[::2, ::2, ::2] = picture
    fixed = picture.copy()
    fixed.flags.writeable = False
    mapped = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=picture.shape)
    mapped[:] = picture
    planes = np.ascontiguousarray(picture.transpose(2, 0, 1)).transpose(1, 2, 0)
    flipped = np.ascontiguousarray(picture[::-1, ::-1, ::-1])[::-1, ::-1, ::-1]
    for one in (
        wide[::2, ::2, ::2],
        fixed,
        mapped,
        planes,
        flipped,
        np.asfortranarray(picture),
        np.ma.array(picture),
    ):
        assert_red_is_class_one(predictor(one, channels="RGB"))


def test_a_strip_keeps_a_pixel(cfg, weights):
    """Its short side would be rounded to 0 pixels."""
    assert Predictor(cfg, weights)(np.zeros((1, 5000, 3), np.uint8)).image_size == (1, 5000)


def test_metadata_of_own_data(cfg, tmp_path):
    assert "thing_classes" in load_metadata(cfg).as_dict()
    json_file = tmp_path / "val.json"
    json_file.write_text('{"categories": [{"id": 7, "name": "b"}, {"id": 3, "name": "a"}]}')
    cfg.DATASETS.CUSTOM.VAL_JSON = str(json_file)
    metadata = load_metadata(cfg)
    assert metadata.thing_classes == ["a", "b"]
    assert metadata.thing_dataset_id_to_contiguous_id == {3: 0, 7: 1}
    cfg.DATASETS.CUSTOM.VAL_JSON = "gone.json"
    cfg.DATASETS.TEST = ()
    assert load_metadata(cfg).as_dict() == {}


def test_metadata_of_own_panoptic_data(cfg, panoptic_set):
    cfg.DATASETS.CUSTOM.VAL_JSON = panoptic_set.json
    cfg.DATASETS.CUSTOM.VAL_PANOPTIC = panoptic_set.panoptic
    metadata = load_metadata(cfg)
    assert metadata.thing_classes == ["cat", "dog"] and metadata.stuff_classes == ["things", "sky", "sea"]


def test_all_results_of_a_model(cfg, weights, picture):
    predictor = Predictor(cfg, weights, score_threshold=0.5, batch_size=2)
    results = predictor.predict([picture] * 3, channels="RGB")
    assert [set(r) for r in results] == [{"instances"}] * 3
    assert all(len(r["instances"]) == 1 for r in results)
    with torch.no_grad():
        instances = predictor.model([predictor.model_input(picture)])[0]["instances"]
    segments = [{"id": 1, "isthing": True, "category_id": 0}]
    output = {"instances": instances, "sem_seg": torch.zeros(2, 20, 40)}
    output["panoptic_seg"] = torch.ones(20, 40, dtype=torch.int32), segments
    predictor.model.forward = lambda batch: [dict(output) for _ in batch]
    (result,) = predictor.predict([picture])
    assert set(result) == {"instances", "panoptic_seg"}
    assert result["panoptic_seg"][0].shape == (20, 40) and result["panoptic_seg"][1] == segments
