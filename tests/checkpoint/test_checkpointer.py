import pickle

import pytest
import torch

from solo_d2.checkpoint import Checkpointer, Preprocessing, write_weight_file
from solo_d2.modeling.meta_architecture import MetaArchitecture, WeightKey
from solo_d2.utils.errors import InputError


class Model(MetaArchitecture):
    config_node = "X"
    weight_keys = (WeightKey(r"last\.", "{}.NUM_CLASSES", "MODEL.META_ARCHITECTURE", per_class=True),)

    def __init__(self, classes):
        super().__init__(pixel_mean=[0.0], pixel_std=[1.0])
        self.body = torch.nn.Linear(2, 2)
        self.last = torch.nn.Linear(2, classes)


def make_model(classes=3):
    return Model(classes)


class Counter:
    """A checkpointable."""

    def __init__(self, count=0):
        self.count = count

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state_dict):
        self.count = state_dict["count"]


def same_weights(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_round_trip_and_resume(tmp_path):
    model, counter = make_model(), Counter(5)
    Checkpointer(model, str(tmp_path), trainer=counter).save("model_0001", iteration=1)
    other, other_counter = make_model(), Counter()
    checkpointer = Checkpointer(other, str(tmp_path), trainer=other_counter)
    rest = checkpointer.resume_or_load("", resume=True)
    assert same_weights(model, other) and other_counter.count == 5 and rest["iteration"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last_checkpoint", "model_0001.pth"]


def test_not_resumable_file_is_not_the_last_checkpoint(tmp_path):
    checkpointer = Checkpointer(make_model(), str(tmp_path), resumable=False)
    checkpointer.save("model_best")
    assert not checkpointer.has_checkpoint()


def test_loading_weights_leaves_checkpointables(tmp_path):
    Checkpointer(make_model(), str(tmp_path), trainer=Counter(5)).save("m")
    counter = Counter(1)
    checkpointer = Checkpointer(make_model(), str(tmp_path / "new"), trainer=counter)
    checkpointer.resume_or_load(str(tmp_path / "m.pth"), resume=False)
    assert counter.count == 1


def test_resume_without_checkpoint_warns(tmp_path, caplog):
    Checkpointer(make_model(), str(tmp_path)).resume_or_load("", resume=True)
    assert "no last checkpoint" in caplog.text


@pytest.mark.parametrize("size", [0, 10, 400, -1])
def test_truncated_file(tmp_path, size):
    path = tmp_path / "m.pth"
    Checkpointer(make_model(), str(tmp_path)).save("m")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError) as error:
        Checkpointer(make_model()).load(str(path))
    text = str(error.value)
    assert str(path) in text and "truncated" in text and "\n" not in text


class Malicious:
    def __reduce__(self):
        return print, ("executed",)


def test_file_that_would_run_code(tmp_path, capsys):
    path = tmp_path / "m.pth"
    torch.save({"model": Malicious()}, path)
    with pytest.raises(InputError, match="m.pth cannot be read"):
        Checkpointer(make_model()).load(str(path))
    assert "executed" not in capsys.readouterr().out


def test_missing_and_foreign_files(tmp_path):
    checkpointer = Checkpointer(make_model())
    for name in ("absent.pth", "absent.pkl"):
        with pytest.raises(InputError, match=f"{name} does not exist"):
            checkpointer.load(str(tmp_path / name))
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="not a checkpoint: it holds a list"):
        checkpointer.load(str(tmp_path / "list.pth"))
    torch.save({"model": {"other.weight": torch.ones(1)}}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="made for another model"):
        checkpointer.load(str(tmp_path / "other.pth"))


def test_other_number_of_classes(tmp_path, caplog):
    Checkpointer(make_model(classes=80), str(tmp_path)).save("m")
    path = str(tmp_path / "m.pth")
    line = r"weight \(80, 2\) in the file, \(3, 2\) here.*\(the number of classes differs\): change MODEL.X"
    with pytest.raises(InputError, match=line):
        Checkpointer(make_model(), exact=True).load(path)
    model = make_model()
    before = model.last.weight.clone()
    Checkpointer(model).load(path)
    assert torch.equal(model.last.weight, before)
    assert (
        "only re-initializing last.weight and last.bias: the file has 80 classes, the model 3" in caplog.text
    )
    resumed = Checkpointer(make_model(), str(tmp_path))
    with pytest.raises(InputError, match="number of classes"):
        resumed.resume_or_load("", resume=True)


def test_a_contradiction_changes_nothing(tmp_path):
    model, other = make_model(), make_model()
    weights = other.state_dict() | {"body.weight": torch.zeros(5, 2)}
    torch.save({"model": weights}, tmp_path / "m.pth")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InputError, match=r"body.weight \(5, 2\) in the file"):
        Checkpointer(model).load(str(tmp_path / "m.pth"))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_preprocessing_is_compared(tmp_path, caplog):
    model = make_model()
    metadata = {"preprocessing": {"channels": "RGB", "short_side": 800, "long_side": 1333}}
    write_weight_file(str(tmp_path / "m.safetensors"), model.state_dict(), **metadata)
    config = Preprocessing(channels="BGR", short_side=448, long_side=768)
    keys = {"channels": "INPUT.FORMAT"}
    with caplog.at_level("INFO"):
        checkpointer = Checkpointer(make_model(), preprocessing=config, preprocessing_keys=keys)
        checkpointer.load(str(tmp_path / "m.safetensors"))
    assert "INPUT.FORMAT is BGR, these weights want RGB" in caplog.text
    assert "short_side and long_side are 448 and 768; the known results" in caplog.text


def test_preprocessing_is_saved(tmp_path, caplog):
    trained = Preprocessing(channels="RGB", mean=(1.0, 2.0, 3.0))
    Checkpointer(make_model(), str(tmp_path), preprocessing=trained).save("m")
    Checkpointer(make_model(), preprocessing=trained).load(str(tmp_path / "m.pth"))
    assert "these weights want" not in caplog.text
    Checkpointer(make_model(), preprocessing=Preprocessing(channels="BGR")).load(str(tmp_path / "m.pth"))
    assert "channels is BGR, these weights want RGB" in caplog.text


def test_pickles_of_arrays(tmp_path):
    model, other = make_model(), make_model()
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"model": weights, "__author__": "test"}))
    Checkpointer(other, exact=True).load(str(tmp_path / "m.pkl"))
    assert same_weights(model, other)
    ending = {"last.weight": torch.full((3, 2), 7.0)}
    torch.save(ending, tmp_path / "end.pth")
    Checkpointer(other).load(f"{tmp_path / 'end.pth'}?matching_heuristics=True")
    assert (other.last.weight == 7).all()


def test_bare_state_dict_and_wrapped_names(tmp_path):
    model, other = make_model(), make_model()
    weights = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save(weights, tmp_path / "m.pth")
    Checkpointer(other).load(str(tmp_path / "m.pth"))
    assert same_weights(model, other)


def save_runs_checkpoints(folder, *names):
    """Saves checkpoints whose counter is their number."""
    counter = Counter()
    checkpointer = Checkpointer(make_model(), str(folder), trainer=counter)
    for counter.count, name in enumerate(names, 1):
        checkpointer.save(name)


def truncate(path):
    path.write_bytes(path.read_bytes()[:100])


def flip(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"FB") + 80] ^= 1  # the padding before a tensor's bytes begins so
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (truncate, "is truncated, damaged or no weight file"),
        (flip, "has other bytes than were written"),
        (lambda path: path.write_bytes(b""), "is truncated, damaged or no weight file"),
        (lambda path: path.unlink(), "does not exist"),
    ],
)
@pytest.mark.parametrize("last", ["model_final", "resume_0000005"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, damage, why, last, caplog):
    save_runs_checkpoints(tmp_path, "model_0000001", "model_0000009", "model_0000003", last)
    Checkpointer(make_model(), str(tmp_path), resumable=False).save("model_best")
    damage(tmp_path / f"{last}.pth")
    counter = Counter()
    Checkpointer(make_model(), str(tmp_path), trainer=counter).resume_or_load("")
    before = (
        "model_0000009" if last == "model_final" else "model_0000003"
    )  # later ones are of another attempt
    assert counter.count == {"model_0000009": 2, "model_0000003": 3}[before]
    assert (
        why in caplog.text and f"resuming from {tmp_path}/{before}.pth, which was saved before" in caplog.text
    )


def test_without_an_intact_checkpoint_it_does_not_start_again(tmp_path):
    save_runs_checkpoints(tmp_path, "model_0000001", "model_0000003")
    for path in tmp_path.glob("*.pth"):
        truncate(path)
    with pytest.raises(
        InputError, match=r"model_0000003.pth .* there is no earlier checkpoint to resume from"
    ):
        Checkpointer(make_model(), str(tmp_path), trainer=Counter()).resume_or_load("")


@pytest.mark.parametrize("content", ["", "nothing.pth", "../elsewhere.pth"])
def test_a_wrong_note_of_the_last_checkpoint(tmp_path, content):
    save_runs_checkpoints(tmp_path, "model_0000001", "model_0000003")
    (tmp_path / "last_checkpoint").write_text(content)
    counter = Counter()
    Checkpointer(make_model(), str(tmp_path), trainer=counter).resume_or_load("")
    assert counter.count == 2


def test_weights_alone_are_not_resumed(tmp_path):
    Checkpointer(make_model(), str(tmp_path)).save("model_0000003")
    with pytest.raises(
        InputError, match=r"has no state of the trainer, .* MODEL.WEIGHTS .*model_0000003.pth"
    ):
        Checkpointer(make_model(), str(tmp_path), trainer=Counter()).resume_or_load("")
    Checkpointer(make_model(), str(tmp_path)).resume_or_load("")  # an evaluation needs no more


def test_a_removed_folder_is_made_again(tmp_path):
    checkpointer = Checkpointer(make_model(), str(tmp_path / "gone"))
    checkpointer.save("model_0000001")
    assert checkpointer.has_checkpoint()
