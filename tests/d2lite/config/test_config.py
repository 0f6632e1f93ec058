"""Merging of configs, and ``configurable`` in all its documented forms."""

import pytest
import yaml

from detectron2.config import CfgNode, configurable, get_cfg


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def test_get_cfg_gives_independent_copies():
    first = get_cfg()
    first.SOLVER.BASE_LR = 7.0
    assert get_cfg().SOLVER.BASE_LR == 0.001


def test_base_files_are_merged_first(write):
    write("base.yaml", "VERSION: 2\nSEED: 3\nSOLVER:\n  STEPS: (3, 4)\n  GAMMA: 0.5\n")
    cfg = get_cfg()
    cfg.merge_from_file(write("leaf.yaml", "_BASE_: base.yaml\nSEED: 4\nSOLVER:\n  GAMMA: 0.2\n"))
    assert (cfg.SEED, cfg.SOLVER.STEPS, cfg.SOLVER.GAMMA) == (4, (3, 4), 0.2)
    assert isinstance(cfg.SOLVER, CfgNode)


@pytest.mark.parametrize(
    "text, key",
    [("SEEED: 4\n", "SEEED"), ("SOLVER:\n  LR: 0.1\n", "SOLVER.LR")],
)
def test_unknown_key_is_refused_by_name(write, text, key):
    with pytest.raises(KeyError, match=f"Non-existent config key: {key}"):
        get_cfg().merge_from_file(write("unknown.yaml", "VERSION: 2\n" + text))


def test_wrong_type_and_missing_file_are_refused(write):
    with pytest.raises(ValueError, match="Type mismatch.*SEED"):
        get_cfg().merge_from_file(write("type.yaml", "VERSION: 2\nSEED: [1]\n"))
    with pytest.raises(AssertionError, match="nowhere.yaml"):
        get_cfg().merge_from_file("nowhere.yaml")


@pytest.mark.d2lite_only
def test_other_versions_are_refused(write):
    with pytest.raises(ValueError, match="VERSION 1"):
        get_cfg().merge_from_file(write("old.yaml", "VERSION: 1\nSEED: 1\n"))


def test_unsafe_yaml_only_where_allowed(write):
    path = write("unsafe.yaml", "VERSION: 2\nSEED: !!python/object/apply:os.getpid []\n")
    with pytest.raises(yaml.constructor.ConstructorError):
        get_cfg().merge_from_file(path, allow_unsafe=False)


def test_merge_from_list():
    cfg = get_cfg()
    cfg.merge_from_list(["SEED", "5", "DATASETS.TRAIN", "('a',)"])
    assert (cfg.SEED, cfg.DATASETS.TRAIN) == (5, ("a",))
    with pytest.raises(AssertionError, match="Non-existent key: SEEED"):
        cfg.merge_from_list(["SEEED", 3])
    with pytest.raises(AssertionError, match="odd length"):
        cfg.merge_from_list(["SEED"])


def test_frozen_config_and_dump_round_trip(write):
    cfg = get_cfg()
    cfg.SEED = 11
    cfg.freeze()
    with pytest.raises(AttributeError, match="immutable"):
        cfg.SEED = 1
    again = get_cfg()
    again.merge_from_file(write("dump.yaml", cfg.dump()))
    assert again.SEED == 11 and yaml.safe_load(again.dump()) == yaml.safe_load(cfg.dump())


class Head:
    @configurable
    def __init__(self, width, depth=2, kind="plain"):
        self.values = (width, depth, kind)

    @classmethod
    def from_config(cls, cfg, extra=0):
        return {"width": cfg.SEED + extra, "depth": 5}


class WideHead(Head):
    def __init__(self, cfg, factor):
        super().__init__(cfg)
        self.factor = factor


class NamedHead(Head):
    @configurable
    def __init__(self, name, **kwargs):
        super().__init__(**kwargs)
        self.values += (name,)

    @classmethod
    def from_config(cls, cfg):
        return {**super().from_config(cfg), "name": "n"}


@configurable(from_config=lambda cfg, extra=0: {"width": cfg.SEED + extra, "depth": 5})
def build_head(width, depth=2, kind="plain"):
    return (width, depth, kind)


@pytest.mark.parametrize("make", [lambda *a, **k: Head(*a, **k).values, build_head])
def test_configurable_calls(make):
    cfg = get_cfg()
    assert make(1) == make(width=1) == (1, 2, "plain")
    assert make(1, 3, kind="x") == (1, 3, "x")
    assert make(cfg) == make(cfg=cfg) == (-1, 5, "plain")
    assert make(cfg, 4) == make(cfg, extra=4) == (3, 5, "plain")
    assert make(cfg, depth=9, kind="x") == (-1, 9, "x")
    with pytest.raises(TypeError):
        make()
    with pytest.raises(TypeError, match="unknown"):
        make(cfg, unknown=1)


def test_configurable_with_inheritance():
    assert WideHead(get_cfg(), 3).values == (-1, 5, "plain")
    assert NamedHead(get_cfg()).values == (-1, 5, "plain", "n")
    assert NamedHead(get_cfg(), name="m", kind="x").values == (-1, 5, "x", "m")


def test_configurable_from_config_with_variadic_arguments_takes_all():
    class Variadic:
        @configurable
        def __init__(self, got):
            self.got = got

        @classmethod
        def from_config(cls, cfg, *args, **kwargs):
            return {"got": (args, kwargs)}

    assert Variadic(get_cfg(), 2, other=3).got == ((2,), {"other": 3})


def test_configurable_function_keeps_name_and_from_config():
    assert build_head.__name__ == "build_head"
    assert build_head.from_config(get_cfg()) == {"width": -1, "depth": 5}


def test_configurable_mistakes_are_told():
    class Without:
        @configurable
        def __init__(self, width):
            pass

    class NoClassmethod(Without):
        def from_config(self, cfg):
            return {}

    class WrongFirstArgument(Without):
        @classmethod
        def from_config(cls, config):
            return {}

    with pytest.raises(AttributeError, match="must have a 'from_config' classmethod"):
        Without(1)
    with pytest.raises(TypeError, match="must have a 'from_config' classmethod"):
        NoClassmethod(1)
    with pytest.raises(TypeError, match="must take 'cfg' as the first argument"):
        WrongFirstArgument(get_cfg())
    with pytest.raises(AssertionError, match="Incorrect use of @configurable"):
        configurable(lambda width: width)
