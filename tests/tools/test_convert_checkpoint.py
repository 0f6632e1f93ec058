"""The converter as a user calls it, on recorded layouts with made-up weights."""

import ast
import pickle
import time

import pytest
import torch

from solo_d2.checkpoint import read_native, read_weight_file

PUBLISHED = {
    "original_solo_r50_fpn_1x_coco": "original/solo_R50_1x",
    "original_decoupled-solo_r50_fpn_1x_coco": "original/decoupled_solo_R50_1x",
    "original_decoupled-solo-light_r50_fpn_3x_coco": "original/decoupled_solo_light_R50_3x",
    "original_solov2_r50_fpn_1x_coco": "original/solov2_R50_1x",
    "mmdet3_solov2_r50_fpn_1x_coco": "mmdet/solov2_R50_1x",
    "mmdet3_solov2-light_r18_fpn_ms-3x_coco": "mmdet/solov2_light_448_R18_3x",
    "adelaidet_solov2_r50": "adelaidet/solov2_R50_3x",
}
LIGHT = "mmdet3_solov2-light_r18_fpn_ms-3x_coco"


@pytest.fixture
def make_file(golden, tmp_path):
    """Returns ``make(recording)``: a file of the recorded layout and its weights."""

    def make(recording: str):
        weights = {}
        for line in (golden("keys").folder / f"{recording}.txt").read_text().splitlines():
            name, shape, dtype = line.split("\t")
            dtype = getattr(torch, dtype.removeprefix("torch."))
            weights[name] = torch.full(ast.literal_eval(shape), len(weights) % 7).to(dtype)
        path = tmp_path / f"{recording}.pth"
        torch.save({"meta": {"epoch": 12}, "state_dict": weights, "optimizer": {"lr": 0.1}}, path)
        return path, weights

    return make


@pytest.mark.slow
@pytest.mark.parametrize("recording", PUBLISHED)
def test_golden_full_size_layouts(run_tool, make_file, tmp_path, recording):
    path, weights = make_file(recording)
    start = time.perf_counter()
    run_tool("convert_checkpoint", "--input", path, "--output", tmp_path / "m.safetensors")
    assert time.perf_counter() - start < 20
    run_tool(
        "convert_checkpoint",
        *("--input", tmp_path / "m.safetensors", "--output", tmp_path / "n.pth"),
        *("--config-file", PUBLISHED[recording]),
    )
    assert len(read_native(str(tmp_path / "n.pth")).weights) <= len(weights)


def test_golden_there_and_back(run_tool, make_file, tmp_path, capsys, caplog):
    path, weights = make_file(LIGHT)
    with caplog.at_level("INFO"):
        run_tool(
            "convert_checkpoint",
            *("--input", path, "--output", tmp_path / "m.safetensors"),
            *("--config-file", PUBLISHED[LIGHT]),
        )
    assert "mmdet 2 and 3, a whole model" in caplog.text
    assert "not used: a counter of batch normalisation" in caplog.text
    assert "'short_side': 448" in caplog.text
    run_tool(
        "convert_checkpoint",
        "--input",
        tmp_path / "m.safetensors",
        "--output",
        tmp_path / "b.pth",
        "--to",
        "mmdet",
    )
    back = read_weight_file(str(tmp_path / "b.pth"))["model"]
    wanted = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    assert back.keys() == wanted.keys()
    assert all(torch.equal(back[name], value) for name, value in wanted.items())


def one_line(run_tool, capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as stop:
        run_tool("convert_checkpoint", *arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and error.startswith("error: ")
    return error


def test_golden_mistakes(run_tool, make_file, tmp_path, capsys):
    path, _ = make_file(LIGHT)
    before = sorted(tmp_path.iterdir())
    target = tmp_path / "m.pth"
    convert = ["--input", path, "--output", target]
    error = one_line(run_tool, capsys, *convert, "--config-file", "mmdet/solov2_light_448_R34_3x")
    assert "MODEL.RESNETS.DEPTH" in error
    error = one_line(run_tool, capsys, *convert, "--config-file", "mmdet/solov2_light_448_R18_4x")
    assert "did you mean mmdet/solov2_light_448_R18_3x" in error
    assert "known are freesolo" in one_line(run_tool, capsys, *convert, "--to", "mmdet9")
    assert ".pth or .safetensors" in one_line(
        run_tool, capsys, "--input", path, "--output", tmp_path / "m.bin"
    )
    missing = one_line(run_tool, capsys, "--input", path, "--output", tmp_path / "no" / "m.pth")
    assert "does not exist" in missing
    path.write_bytes(path.read_bytes()[:-1000])
    assert "truncated" in one_line(run_tool, capsys, *convert)
    assert sorted(tmp_path.iterdir()) == before


class Malicious:
    def __reduce__(self):
        return print, ("executed",)


def test_old_pickles_have_to_be_allowed(run_tool, tmp_path, capsys):
    path, target = tmp_path / "old.pkl", tmp_path / "m.pth"
    path.write_bytes(pickle.dumps({"conv1.weight": torch.ones(1).numpy(), "meta": Malicious()}))
    error = one_line(run_tool, capsys, "--input", path, "--output", target)
    assert "--allow-pickle" in error and "executed" not in error and not target.exists()
    run_tool("convert_checkpoint", "--input", path, "--output", target, "--allow-pickle")
    assert "executed" in capsys.readouterr().out and target.exists()
