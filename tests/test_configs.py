"""Every config file loads, and every key this project adds is read somewhere.

tests/methods/test_e2e.py builds and trains each of them.
"""

import ast
import functools
from collections import Counter
from pathlib import Path

import pytest
import yaml

from detectron2.config import CfgNode
from detectron2.config import get_cfg as get_detectron2_cfg
from detectron2.modeling import build_backbone
from solo_d2.checkpoint import read_native
from solo_d2.checkpoint.efficientnet import EFFICIENTNET_LITE
from solo_d2.checkpoint.preprocessing import TORCHVISION
from solo_d2.checkpoint.resnet import BOTTOM_UP
from solo_d2.config import get_cfg
from solo_d2.engine.weights import preprocessing_of
from solo_d2.export.backbone import resnet_from_config
from solo_d2.utils.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
MAX_LEAF_LINES = 15
MAX_CHAIN = 4  # files from a leaf to its last base, both counted
BASES = sorted((CONFIGS / "_base_").glob("Base-*.yaml"))
LEAVES = sorted(set(CONFIGS.rglob("*.yaml")) - set(BASES))


def name_of(path: Path) -> str:
    return path.relative_to(CONFIGS).as_posix()


def load(path: Path) -> CfgNode:
    cfg = get_cfg()
    cfg.merge_from_file(str(path))
    return cfg


def bases_of(path: Path) -> list[Path]:
    """The files that a config's own ``_BASE_`` names."""
    named = yaml.safe_load(path.read_text()).get("_BASE_", [])
    return [(path.parent / name).resolve() for name in ([named] if isinstance(named, str) else named)]


def chain_length(path: Path) -> int:
    return 1 + max((chain_length(base) for base in bases_of(path)), default=0)


def leaf_keys(node: CfgNode, prefix: str = "") -> set[str]:
    keys = set()
    for key, value in node.items():
        dotted = f"{prefix}{key}"
        keys |= leaf_keys(value, f"{dotted}.") if isinstance(value, CfgNode) else {dotted}
    return keys


@functools.cache
def names_read() -> frozenset[str]:
    """Names of attributes and literal items, and in capitals those of parameters (``utils.settings``)."""
    files = [ROOT / "train_net.py"]
    for folder in ("solo_d2", "tools", "demo"):
        files += (ROOT / folder).rglob("*.py")
    found = set()
    for path in files:
        if path.is_file() and not path.is_relative_to(ROOT / "solo_d2" / "config"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                    found.add(node.attr)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
                elif isinstance(node, ast.arg):
                    found.add(node.arg.upper())
                elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    found.add(node.target.id.upper())
    return frozenset(found)


def test_there_are_configs():
    assert LEAVES and BASES
    assert not [path for path in LEAVES if path.name.startswith("Base-")], "a base outside configs/_base_"


@pytest.mark.parametrize("path", LEAVES, ids=name_of)
def test_chain_is_short(path):
    assert chain_length(path) <= MAX_CHAIN


def test_every_base_has_two_users():
    users = Counter(base for path in [*LEAVES, *BASES] for base in bases_of(path))
    assert {path.name: users[path] for path in BASES if users[path] < 2} == {}


def test_chains_are_counted(tmp_path):
    for name, text in {"a": "x: 1", "b": "_BASE_: a.yaml", "c": "_BASE_: [a.yaml, b.yaml]"}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    assert chain_length(tmp_path / "c.yaml") == 3
    assert bases_of(tmp_path / "c.yaml") == [tmp_path / "a.yaml", tmp_path / "b.yaml"]


@pytest.mark.parametrize("path", LEAVES, ids=name_of)
def test_leaf_is_short(path):
    assert len(path.read_text().splitlines()) <= MAX_LEAF_LINES


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=name_of)
def test_config_loads_with_its_bases(path):
    base = CfgNode.load_yaml_with_base(str(path))
    assert base, "an empty config"
    assert load(path).MODEL.META_ARCHITECTURE


def test_every_added_key_is_read():
    added = leaf_keys(get_cfg()) - leaf_keys(get_detectron2_cfg())
    assert added
    unread = {key for key in added if key.rpartition(".")[2] not in names_read()}
    assert not unread, f"declared in solo_d2/config, read nowhere: {sorted(unread)}"


def test_every_added_key_has_a_comment():
    """The comment may stand above a group of keys that are assigned in a row."""
    for path in (ROOT / "solo_d2" / "config").glob("*.py"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            target = line.strip().partition(" = ")[0]
            if "." in target and target.rpartition(".")[2].isupper() and "CfgNode(" not in line:
                above = [text.strip() for text in lines[max(0, number - 8) : number]]
                assert any(text.startswith("#") or '"""' in text for text in above), target


# What tools/run_freesolo.py gives one backbone to, and what is fine-tuned from its result.
PIPELINES = {
    "R50": ["DenseCL/*.yaml", "FreeSOLO/*R50*.yaml"],
    "R101": ["FreeSOLO/*R101*.yaml"],
    "tiny": ["quick/densecl_tiny.yaml", "quick/free_mask_tiny.yaml", "quick/freesolo*_tiny.yaml"],
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipelines_configs_share_one_backbone(name):
    cfgs = {path.stem: load(path) for pattern in PIPELINES[name] for path in CONFIGS.glob(pattern)}
    methods = {cfg.MODEL.META_ARCHITECTURE for cfg in cfgs.values()}
    assert methods >= {"FreeMask", "FreeSOLO", "SOLOv2"} and (name == "R101" or "DenseCL" in methods)
    (first, expected), *others = cfgs.items()
    for other, cfg in others:
        assert preprocessing_of(expected).differences(preprocessing_of(cfg)) == [], (first, other)
        assert resnet_from_config(expected) == resnet_from_config(cfg), (first, other)


def test_the_published_densecl_backbone_needs_no_conversion():
    for path in CONFIGS.glob("FreeSOLO/*.yaml"):
        assert TORCHVISION.differences(preprocessing_of(load(path))) == [], path.name


FROM_PACKAGES = [path for path in LEAVES if load(path).MODEL.WEIGHTS.startswith("pretrained://")]


@pytest.mark.parametrize("path", FROM_PACKAGES, ids=name_of)
def test_images_are_as_the_installed_weights_expect_them(path):
    assert EFFICIENTNET_LITE.preprocessing.differences(preprocessing_of(load(path))) == []


@pytest.mark.parametrize("path", FROM_PACKAGES, ids=name_of)
def test_installed_weights_fill_the_backbone(path):
    cfg = load(path)
    try:
        native = read_native(cfg.MODEL.WEIGHTS)
    except InputError as error:
        pytest.skip(str(error))
    body = build_backbone(cfg).bottom_up
    shapes = {BOTTOM_UP + name: value.shape for name, value in body.state_dict().items()}
    assert {name: value.shape for name, value in native.weights.items()} == shapes


def test_what_learns_no_classes_is_measured_without_them():
    cfgs = {path.name: load(path) for path in LEAVES}
    methods = ("FreeMask", "FreeSOLO")
    agnostic = {name for name, cfg in cfgs.items() if cfg.TEST.CLASS_AGNOSTIC}
    assert agnostic == {name for name, cfg in cfgs.items() if cfg.MODEL.META_ARCHITECTURE in methods}
