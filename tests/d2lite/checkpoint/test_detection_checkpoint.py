"""Reading and writing of checkpoints, also of damaged and hostile ones."""

import os
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from detectron2.checkpoint import DetectionCheckpointer, PeriodicCheckpointer


def make_model(value=0.0):
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    for parameter in model.parameters():
        nn.init.constant_(parameter, value)
    return model


@pytest.fixture
def saved(tmp_path):
    DetectionCheckpointer(make_model(3.0), str(tmp_path)).save("model_x", iteration=7)
    return tmp_path / "model_x.pth"


def test_round_trip_with_checkpointables(tmp_path):
    model = make_model(3.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    DetectionCheckpointer(model, str(tmp_path), optimizer=optimizer).save("model_1", iteration=7)
    other = make_model()
    again = torch.optim.SGD(other.parameters(), lr=0.1)
    checkpointer = DetectionCheckpointer(other, str(tmp_path), optimizer=again)
    assert checkpointer.has_checkpoint() and checkpointer.get_checkpoint_file().endswith("1.pth")
    rest = checkpointer.resume_or_load("", resume=True)
    assert rest["iteration"] == 7 and again.param_groups[0]["lr"] == 0.5
    assert other[0].weight.unique().tolist() == [3.0]
    assert sorted(os.listdir(tmp_path)) == ["last_checkpoint", "model_1.pth"]


def test_nothing_to_load_and_missing_file():
    checkpointer = DetectionCheckpointer(make_model())
    assert checkpointer.load("") == {}
    with pytest.raises((AssertionError, OSError), match="nowhere.pth"):
        checkpointer.load("nowhere.pth")


def test_not_saved_without_folder_or_on_other_ranks(tmp_path):
    DetectionCheckpointer(make_model()).save("x")
    DetectionCheckpointer(make_model(), str(tmp_path), save_to_disk=False).save("x")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: {"model": w}])
def test_state_dict_with_and_without_wrapping(tmp_path, wrap):
    torch.save(wrap(make_model(2.0).state_dict()), tmp_path / "weights.pth")
    model = make_model()
    DetectionCheckpointer(model).load(str(tmp_path / "weights.pth"))
    assert model[0].bias.tolist() == [2, 2, 2]


class Detector(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.register_buffer("pixel_mean", torch.zeros(3))


def test_matching_heuristics_in_the_path(tmp_path):
    torch.save(make_model(2.0).state_dict(), tmp_path / "part.pth")
    model = nn.ModuleDict({"inner": make_model()})
    checkpointer = DetectionCheckpointer(model)
    checkpointer.load(f"{tmp_path}/part.pth?matching_heuristics=True")
    assert model["inner"][0].bias.tolist() == [2, 2, 2]


def test_other_shapes_and_names_are_left_out(tmp_path, caplog):
    torch.save({"0.weight": torch.ones(5, 5), "0.bias": torch.ones(3), "zz": torch.ones(1)},
               tmp_path / "other.pth")  # fmt: skip
    model = make_model()
    DetectionCheckpointer(model).load(str(tmp_path / "other.pth"))
    assert model[0].bias.tolist() == [1, 1, 1] and model[0].weight.unique().tolist() == [0]


def test_image_statistics_need_not_be_in_files(tmp_path, caplog):
    model = Detector(nn.Linear(1, 1))
    torch.save({"model": model.backbone.state_dict(prefix="backbone.")}, tmp_path / "m.pth")
    DetectionCheckpointer(model).load(str(tmp_path / "m.pth"))
    assert "pixel_mean" not in caplog.text


def test_periodic_checkpointer(tmp_path):
    checkpointer = DetectionCheckpointer(make_model(), str(tmp_path))
    periodic = PeriodicCheckpointer(checkpointer, period=2, max_iter=4, max_to_keep=1)
    for iteration in range(4):
        periodic.step(iteration)
    assert sorted(p.name for p in tmp_path.glob("*.pth")) == ["model_0000003.pth", "model_final.pth"]


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.d2lite_only
def test_hostile_file_is_refused_in_one_line_and_nothing_runs(tmp_path):
    path, target = tmp_path / "hostile.pth", tmp_path / "executed"
    torch.save({"model": {"w": Attack(str(target))}}, path)
    with pytest.raises(ValueError, match="Refused to load checkpoint '.*hostile.pth'") as info:
        DetectionCheckpointer(make_model()).load(str(path))
    assert "\n" not in str(info.value) and "mkdir" in str(info.value)
    assert not target.exists()


@pytest.mark.d2lite_only
@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("attack", [False, True])
def test_pickles_are_refused_in_one_line_and_nothing_runs(tmp_path, protocol, attack):
    path, target = tmp_path / "zoo.pkl", tmp_path / "executed"
    weights = Attack(str(target)) if attack else {"w": np.zeros(500)}
    path.write_bytes(pickle.dumps({"model": weights, "__author__": "x"}, protocol=protocol))
    with pytest.raises(ValueError, match="(Refused to|Cannot) load checkpoint '.*zoo.pkl'") as info:
        DetectionCheckpointer(make_model()).load(str(path))
    assert "\n" not in str(info.value) and not target.exists()


@pytest.mark.d2lite_only
@pytest.mark.parametrize("suffix", [".pth", ".pkl"])
@pytest.mark.parametrize("keep", [0, 10, 300])
def test_truncated_file_is_told_in_one_line(saved, suffix, keep):
    path = saved.with_suffix(suffix)
    if suffix == ".pkl":
        path.write_bytes(pickle.dumps({"model": {"w": np.zeros(500)}, "__author__": "x"}))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=f"Cannot load checkpoint '.*{suffix}'") as info:
        DetectionCheckpointer(make_model()).load(str(path))
    assert "\n" not in str(info.value)


@pytest.mark.d2lite_only
def test_wrong_files_are_told(tmp_path):
    (tmp_path / "picture.pth").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    for name in ("picture.pth", "list.pth"):
        with pytest.raises(ValueError, match=f"Cannot load checkpoint '.*{name}'"):
            DetectionCheckpointer(make_model()).load(str(tmp_path / name))
