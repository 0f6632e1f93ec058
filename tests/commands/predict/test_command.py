"""``solo-d2 predict`` as a user runs it: flags, messages, exit codes, files."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from solo_d2.commands.predict.command import (
    build_parser,
    check_arguments,
    choose_devices,
    picture_targets,
    video_target,
)
from solo_d2.commands.predict.inputs import find_images
from solo_d2.config.loading import load_config
from solo_d2.export import onnx_file, onnx_runtime
from solo_d2.model_zoo import PREFIX, load_catalogue
from solo_d2.utils.errors import InputError
from tests.export.stand_in import DESCRIPTION, RUNTIME, Proto

ROOT = Path(__file__).resolve().parents[3]
TINY_CONFIG = str(ROOT / "configs" / "quick" / "solov2_tiny.yaml")
DETECTRON2_FLAGS = (
    "--config-file",
    "--webcam",
    "--video-input",
    "--input",
    "--output",
    "--confidence-threshold",
    "--opts",
)


@pytest.fixture
def run(run_command, monkeypatch, capsys, tmp_path):
    """``run(*flags)`` returns (exit code, what was printed); the folder is a fresh one."""
    monkeypatch.chdir(tmp_path)

    def run(*flags):
        try:
            run_command("predict", *flags)
            code = 0
        except SystemExit as error:
            code = error.code
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def test_help_starts_with_commands_and_has_every_flag(run):
    code, said = run("-h")
    assert code == 0 and said.splitlines()[1].startswith("  solo-d2 predict --input a.jpg")
    for flag in (*DETECTRON2_FLAGS, "--batch-size", "--json", "--num-gpus", "--traceback"):
        assert flag in said


def test_parser_keeps_detectron2_defaults():
    args = build_parser().parse_args(["--input", "a", "b", "--opts", "MODEL.DEVICE", "cpu"])
    assert (args.input, args.opts) == (["a", "b"], ["MODEL.DEVICE", "cpu"])
    assert (args.confidence_threshold, args.webcam, args.video_input, args.output) == (0.5, False, None, None)


@pytest.mark.parametrize("opts", [(), ("--opts", "MODEL.WEIGHTS", "model.pth")])
def test_an_exported_file(run, tmp_path, monkeypatch, opts):
    """The stand-in finds the bright part of a picture."""
    for module in (onnx_file, onnx_runtime):
        monkeypatch.setattr(module, "required", lambda name: RUNTIME)
    (tmp_path / "model.onnx").write_bytes(onnx_file.store(Proto(), DESCRIPTION))
    picture = np.zeros((64, 80, 3), np.uint8)
    picture[10:30, 40:60] = 255
    cv2.imwrite(str(tmp_path / "7.png"), picture)
    flags = ["--input", "7.png", "--output", "out", "--json", "out/results.json", *opts]
    code, said = run("--config-file", "model.onnx", *flags)
    if opts:
        assert code == 2 and "model.onnx has its weights and settings in it" in said
        return
    assert code == 0 and (tmp_path / "out" / "7.png").is_file()
    (row,) = json.loads((tmp_path / "out" / "results.json").read_text())
    assert row["bbox"] == [40, 10, 20, 20] and row["category_id"] == 7


def test_the_default_model_is_a_published_one():
    cfg = load_config(build_parser().parse_args([]).config_file)
    assert (
        load_catalogue().find(cfg.MODEL.WEIGHTS.removeprefix(PREFIX)).published_ap
        and cfg.MODEL.META_ARCHITECTURE == "SOLOv2"
    )


def test_folder_to_overlays_and_json(run, make_pictures, model_options):
    folder = make_pictures("7.png", "b.png")
    code, said = run(
        "--config-file",
        TINY_CONFIG,
        "--input",
        folder,
        "--output",
        "out",
        "--json",
        "out/results.json",
        "--confidence-threshold",
        "0",
        "--batch-size",
        "2",
        "--opts",
        *model_options,
    )
    assert code == 0, said
    assert sorted(p.name for p in Path("out").iterdir()) == ["7.png", "b.png", "results.json"]
    rows = json.loads(Path("out/results.json").read_text())
    assert {row["image_id"] for row in rows} == {7, 1}
    assert set(rows[0]) == {"image_id", "file_name", "category_id", "segmentation", "bbox", "score"}


def test_without_output_says_where_results_go(run, make_pictures, model_options):
    folder = make_pictures("a.png")
    code, said = run("--config-file", TINY_CONFIG, "--input", folder / "a.png", "--opts", *model_options)
    assert code == 0 and "output/demo_results" in said
    assert Path("output/demo_results/a.png").is_file()


def test_box_only_model(run, make_pictures, model_options):
    folder = make_pictures("a.png")
    flags = ["--config-file", TINY_CONFIG, "--input", folder, "--confidence-threshold", "0"]
    flags += ["--output", "out", "--json", "out/results.json", "--draw", "boxes"]
    code, said = run(*flags, "--opts", *model_options, "TEST.BOX_ONLY", "True")
    assert code == 0, said
    rows = json.loads(Path("out/results.json").read_text())
    assert rows and "segmentation" not in rows[0] and len(rows[0]["bbox"]) == 4


def test_damaged_picture_among_others_is_exit_code_1(run, make_pictures, model_options):
    folder = make_pictures("a.png", "c.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:300])
    code, said = run(
        "--config-file", TINY_CONFIG, "--input", folder, "--output", "out", "--opts", *model_options
    )
    assert code == 1
    assert "1 picture(s) could not be read" in said and "Traceback" not in said
    assert sorted(p.name for p in Path("out").iterdir()) == ["a.png", "c.png"]


def test_a_picture_without_a_known_suffix_becomes_png(run, make_pictures, model_options):
    folder = make_pictures("a.png", "noext.png", "b.png")
    (folder / "b.png").rename(folder / "noext")
    (folder / "a.png").rename(folder / "a.jpg_original")
    flags = ["--config-file", TINY_CONFIG, "--output", "out", "--confidence-threshold", "0"]
    flags += ["--json", "r.json", "--input", *(folder / n for n in ("noext", "noext.png", "a.jpg_original"))]
    code, said = run(*flags, "--opts", *model_options)
    assert code == 0, said
    assert {p.name for p in Path("out").iterdir()} == {"noext.png", "noext_2.png", "a.jpg_original.png"}
    names = {row["file_name"] for row in json.loads(Path("r.json").read_text())}
    assert names == {"noext", "noext.png", "a.jpg_original"}


def test_names_that_differ_by_case_stay_apart_everywhere(make_pictures, tmp_path):
    images = find_images([str(make_pictures("a.png", "A.PNG", "x.png", "x.jpg"))])
    assert sorted(image.name.name for image in images) == ["A.PNG", "a.png", "x.jpg", "x.png"]
    targets = picture_targets(images, tmp_path / "out")
    assert len({target.name.lower() for target in targets}) == 4


def one_line(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    assert len(lines) == 1, said
    return lines[0]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--inputs", "a.png"], "--inputs"),
        ([], "--input"),
        (["--input", "a.png", "--webcam"], "one of"),
        (["--input", "gone.png"], "gone.png"),
        (["--video-input", "gone.mp4"], "gone.mp4"),
        (["--webcam"], "camera"),
        (["--input", "in", "--config-file", "gone.yaml"], "gone.yaml"),
        (["--input", "in", "--confidence-threshold", "7"], "--confidence-threshold: 7.0: it must be 0 to 1"),
        (["--input", "in", "--batch-size", "0"], "--batch-size: 0: it must be at least 1"),
        (["--input", "in", "--opts", "MODEL.DEVICE", "gpu"], "MODEL.DEVICE 'gpu' is no device"),
        (["--input", "in", "--output", "in"], "overwrite"),
        (["--input", "in", "--output", "one.png"], "one file"),
        (["--input", "in", "--draw", "masks", "--opts", "TEST.BOX_ONLY", "True"], "TEST.BOX_ONLY"),
        (["--input", "in", "--opts", "MODEL.DEVISE", "cpu"], "MODEL.DEVISE"),
        (["--input", "in", "--opts", "MODEL.WEIGHTS", "gone.pth"], "gone.pth"),
        (["--input", "in", "--opts", "MODEL.WEIGHTS", "cut.pth"], "cut.pth"),
    ],
)
def test_mistakes_give_one_line(run, make_pictures, tiny_weights, model_options, flags, message):
    make_pictures("a.png", "b.png")
    Path("cut.pth").write_bytes(tiny_weights.read_bytes()[:-5000])
    config = [] if "--config-file" in flags else ["--config-file", TINY_CONFIG]
    options = flags[flags.index("--opts") + 1 :] if "--opts" in flags else []
    flags = flags[: flags.index("--opts")] if "--opts" in flags else flags
    code, said = run(*config, *flags, "--opts", *model_options, *options)
    assert code not in (0, None)
    line = one_line(said)
    assert line.startswith("error:") and message in line


def test_traceback_on_request(run):
    code, said = run("--input", "gone.png", "--config-file", TINY_CONFIG, "--traceback")
    assert code != 0 and "Traceback" in said


def test_arguments_that_go_together():
    for flags in (["--input", "a"], ["--webcam"], ["--video-input", "a.mp4"]):
        check_arguments(build_parser().parse_args(flags))


def test_targets(make_pictures, tmp_path):
    images = find_images([str(make_pictures("a.png", "b.png"))])
    assert picture_targets(images[:1], tmp_path / "x.jpg") == [tmp_path / "x.jpg"]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not a folder"):
        picture_targets(images, tmp_path / "file")
    source = type("Source", (), {"name": "in.avi"})
    assert video_target(source, "in.avi", tmp_path) == tmp_path / "in.mp4"
    assert video_target(source, "in.avi", tmp_path / "o.mp4") == tmp_path / "o.mp4"
    with pytest.raises(InputError, match="overwrite"):
        video_target(source, "x/in.mp4", Path("x/in.mp4"))


def test_devices_fall_back_to_one_process(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_devices(1) == [None] and capsys.readouterr().out == ""
    assert choose_devices(4) == [None] and "one process" in capsys.readouterr().out
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_devices(4) == ["cuda:0", "cuda:1"] and "2 GPUs" in capsys.readouterr().out
