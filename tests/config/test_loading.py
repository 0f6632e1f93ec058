"""A config from a file, a name or a node; what is wrong is named in one line."""

from pathlib import Path

import pytest

from solo_d2.config import get_cfg, loading
from solo_d2.config.loading import config_file, find_config, load_config
from solo_d2.utils.errors import InputError


def written(folder: Path, text: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(text)
    return path


def test_a_file_a_name_and_a_node_give_the_same(tmp_path):
    by_name = load_config("quick/solov2_tiny")
    path = config_file("quick/solov2_tiny.yaml")
    assert load_config(path) == load_config(by_name) == by_name
    assert load_config() == get_cfg()
    assert find_config("some/file.yaml") == "some/file.yaml"


def test_a_node_is_copied_and_options_override(tmp_path):
    node = get_cfg()
    node.freeze()
    changed = load_config(node, ["SOLVER.MAX_ITER", "3", "MODEL.SOLOV2.NUM_GRIDS", "[4, 2]"])
    assert changed.SOLVER.MAX_ITER == 3 and changed.MODEL.SOLOV2.NUM_GRIDS == [4, 2]
    assert node.SOLVER.MAX_ITER != 3
    assert load_config(written(tmp_path, "SEED: 5\n"), ["SOLVER.MAX_ITER", "3"]).SEED == 5


def test_published_names_go_first_and_bases_are_not_suggested():
    assert config_file("mmdet/solov2_R50_3x").parts[-3:] == ("zoo", "mmdet", "solov2_R50_3x.yaml")
    with pytest.raises(InputError, match="no config SOLOv2/solov2_R50_4x: did you mean .*SOLOv2/solov2_R50"):
        config_file("SOLOv2/solov2_R50_4x")
    with pytest.raises(InputError) as error:
        config_file("_base_/Base-SOLOv3")
    assert "_base_/Base-SOLOv2" not in str(error.value)
    for name in ("nothing-like-it", "../setup"):
        with pytest.raises(InputError, match="docs/MODEL_ZOO.md lists them"):
            config_file(name)


def test_an_installation_without_configs_is_explained(monkeypatch, tmp_path):
    monkeypatch.setattr(loading, "_HOMES", (tmp_path / "gone",))
    with pytest.raises(InputError, match="install solo_d2 again"):
        config_file("quick/solov2_tiny")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MODEL: [", "is not valid YAML"),
        ("", "has no keys: it or its _BASE_ is empty"),
        ("- 1\n", "has no keys: it is empty or not a mapping"),
        ("_BASE_: gone.yaml\n", "its _BASE_ .*gone.yaml does not exist"),
        ("SOLVER: {MAX_ITR: 3}\n", "there is no config key SOLVER.MAX_ITR: did you mean SOLVER.MAX_ITER"),
        ("SOLVER: {MAX_ITER: many}\n", "own.yaml: "),
    ],
)
def test_mistakes_in_a_file(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        load_config(written(tmp_path, text))


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="gone.yaml does not exist"):
        load_config(tmp_path / "gone.yaml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["SOLVER.MAX_ITER"], "'SOLVER.MAX_ITER' has no value"),
        (["--resume", "x"], "--resume must stand before the KEY VALUE pairs"),
        (["SOLVER", "3"], "config key SOLVER is a group of keys, not one"),
        (["SOLVER.QQQQ", "3"], "command line: there is no config key SOLVER.QQQQ"),
        (["SOLVER.MAX_ITER", "many"], "SOLVER.MAX_ITER many: "),
    ],
)
def test_mistakes_in_options(options, message):
    with pytest.raises(InputError, match=message):
        load_config("", options)
