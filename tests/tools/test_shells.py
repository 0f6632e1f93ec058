"""The entry points of the repository: each shows its own commands and hands its flags to a command."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHELLS = {
    "train_net.py": "--eval-only",
    "demo/demo.py": "--video-input",
    "tools/analyze_dataset.py": "--levels",
    "tools/analyze_errors.py": "--results",
    "tools/check_panoptic.py": "--panoptic",
    "tools/draw_correspondences.py": "--seed",
    "tools/convert_checkpoint.py": "--allow-pickle",
    "tools/convert_cityscapes.py": "--splits",
    "tools/export_backbone.py": "--for-config",
    "tools/free_mask.py": "--processes",
    "tools/make_scenes.py": "--num-train",
    "tools/make_semantic_maps.py": "--panoptic",
    "tools/run_freesolo.py": "--free-mask-opts",
    "tools/self_training_labels.py": "--processes",
    "tools/split_dataset.py": "--fraction",
    "tools/visualize_labels.py": "--limit",
    "tools/visualize_solo.py": "--level",
}


def run(script, monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", [str(ROOT / script), *arguments])
    with pytest.raises(SystemExit) as info:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    return info.value.code


@pytest.mark.parametrize("script", SHELLS)
def test_help_shows_copyable_commands_and_the_flags(script, monkeypatch, capsys):
    assert run(script, monkeypatch, "--help") == 0
    said = capsys.readouterr().out
    assert f"python {script}" in said and SHELLS[script] in said
    assert len((ROOT / script).read_text().splitlines()) <= 40


@pytest.mark.parametrize("script", SHELLS)
def test_an_unknown_flag_is_one_line(script, monkeypatch, capsys):
    assert run(script, monkeypatch, "--no-such-flag") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
