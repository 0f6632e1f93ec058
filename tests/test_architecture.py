"""The rules of docs/architecture.md that a program can check, read from the sources with ``ast``."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_FILE_LINES = 400
# Lower number = lower floor. A module may import its own floor and the floors below; the longest
# matching prefix decides.
LAYERS = {
    "solo_d2.utils": 0,
    "solo_d2.structures": 1,
    "solo_d2.ops": 2,
    "solo_d2.layers": 2,
    "solo_d2.losses": 2,
    "solo_d2.scenes": 2,
    "solo_d2.modeling": 3,
    "solo_d2.methods": 4,
    "solo_d2.data": 4,
    "solo_d2.evaluation": 4,
    "solo_d2.checkpoint": 4,
    "solo_d2.config": 5,
    "solo_d2.model_zoo": 6,
    "solo_d2.visualization": 5,
    "solo_d2.engine": 6,
    "solo_d2.export": 7,
    "solo_d2.pseudo_labels": 7,
    "solo_d2": 8,
    "solo_d2.commands": 9,
    "solo_d2.environment": 10,
    "solo_d2.__main__": 10,
}
# On the same floor, yet they never import each other.
STRANGERS = ("solo_d2.methods", "solo_d2.data", "solo_d2.evaluation", "solo_d2.checkpoint")
# Everything may read config/'s key declarations, but config/ itself stands on CfgNode alone.
CONFIG_IMPORTS = ("detectron2.config", "solo_d2.config")
ENTRY_POINTS = ("train_net.py", "tools", "demo", "benchmarks", "examples")
READS_CONFIG = (
    "solo_d2/config/",
    "solo_d2/engine/",
    "solo_d2/commands/",
    "solo_d2/model_zoo/",
    "solo_d2/predictor.py",
)
MACHINE_PATHS = (
    r"(?<![\w.$~}\])-])/(?:home|Users|root|work|tmp|mnt|scratch|media|private)(?:/|\b)(?!\.)",
    r"\b[A-Za-z]:\\+Users\b",
)


def python_files(*folders: str) -> list[Path]:
    found = []
    for folder in folders:
        path = ROOT / folder
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return [path for path in found if "build" not in path.relative_to(ROOT).parts]


def tracked_files() -> list[Path]:
    """Files git tracks or would track; outside a git checkout, all files below the sources."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listing.returncode == 0:
        names = [ROOT / name for name in listing.stdout.split("\0") if name]
        return [path for path in names if path.is_file()]
    return python_files("solo_d2", "d2lite", "tests", *ENTRY_POINTS)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path, source: str | None = None) -> set[str]:
    """Absolute dotted names that a file imports; ``from a import b`` counts as ``a.b``."""
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text() if source is None else source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def unit(name: str) -> str:
    """The entry of ``LAYERS`` a dotted name belongs to."""
    return max((prefix for prefix in LAYERS if within(name, prefix)), key=len)


def layer_violations(path: Path, source: str | None = None) -> list[str]:
    importer = module_name(path)
    here = unit(importer)
    problems = []
    for name in sorted(imported_modules(path, source)):
        if not within(name, "solo_d2"):
            if here == "solo_d2.config" and name.partition(".")[0] == "detectron2":
                if not any(within(name, allowed) for allowed in CONFIG_IMPORTS):
                    problems.append(f"{importer} imports {name}: config/ imports only CfgNode")
            continue
        there = unit(name)
        if LAYERS[there] > LAYERS[here]:
            problems.append(f"{importer} imports {name}: an upward arrow")
        homes = [[s for s in STRANGERS if within(side, s)] for side in (importer, name)]
        if all(homes) and homes[0] != homes[1] and LAYERS[there] == LAYERS[here]:
            problems.append(f"{importer} imports {name}: siblings never import each other")
    return problems


class ConfigReads(ast.NodeVisitor):
    """Collects lines that read an attribute or item of ``cfg`` outside a ``from_config``."""

    def __init__(self):
        self.lines: list[int] = []
        self._allowed = 0

    def _visit_function(self, node):
        inside = "from_config" in node.name
        self._allowed += inside
        self.generic_visit(node)
        self._allowed -= inside

    visit_FunctionDef = visit_AsyncFunctionDef = _visit_function

    def _visit_access(self, node):
        base = node.value
        is_cfg = isinstance(base, ast.Name) and base.id == "cfg"
        is_cfg |= isinstance(base, ast.Attribute) and base.attr == "cfg"
        if is_cfg and not self._allowed:
            self.lines.append(node.lineno)
        self.generic_visit(node)

    visit_Attribute = visit_Subscript = _visit_access


def config_reads(source: str) -> list[int]:
    visitor = ConfigReads()
    visitor.visit(ast.parse(source))
    return sorted(set(visitor.lines))


def blocking_copies(source: str) -> list[int]:
    """Lines with ``torch.tensor(..., device=...)``, which on a GPU waits for all work before it."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("torch.tensor", "torch.as_tensor")
        and any(keyword.arg == "device" for keyword in node.keywords)
    ]


def machine_paths(text: str) -> list[str]:
    return [match.group(0) for rule in MACHINE_PATHS for match in re.finditer(rule, text)]


def test_imports_point_down_only():
    problems = [line for path in python_files("solo_d2") for line in layer_violations(path)]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("solo_d2/layers/x.py", "from solo_d2.methods.solov2 import head", "upward"),
        ("solo_d2/layers/x.py", "from ..engine.cli import run_cli", "upward"),
        ("solo_d2/data/x.py", "import solo_d2.evaluation.build", "siblings"),
        ("solo_d2/methods/solov2/x.py", "from solo_d2.data import loader", "siblings"),
        ("solo_d2/engine/x.py", "from solo_d2 import Predictor", "upward"),
        ("solo_d2/pseudo_labels/x.py", "from solo_d2.commands import train", "upward"),
        ("solo_d2/config/x.py", "from detectron2.engine import hooks", "CfgNode"),
        ("solo_d2/methods/freesolo/x.py", "from ..solov2.head import Head", None),
        ("solo_d2/data/mappers/x.py", "from ..datasets import builtin\nimport torch", None),
        ("solo_d2/predictor.py", "from solo_d2.engine import trainer", None),
        ("solo_d2/config/x.py", "from detectron2.config import CfgNode", None),
    ],
)
def test_layer_rule_sees_arrows(path, source, expected):
    problems = layer_violations(ROOT / path, source)
    assert expected in problems[0] if expected else problems == [], problems


def test_library_never_imports_entry_points():
    for path in python_files("solo_d2", "d2lite"):
        tops = {name.partition(".")[0] for name in imported_modules(path)}
        assert not tops & {"train_net", "tools", "demo", "benchmarks", "examples", "tests"}, path


def test_d2lite_knows_nothing_of_solo_d2():
    for path in python_files("d2lite"):
        assert not any(within(name, "solo_d2") for name in imported_modules(path)), path


def test_no_torchvision_anywhere():
    for path in python_files("solo_d2", "d2lite", *ENTRY_POINTS):
        assert not any(within(name, "torchvision") for name in imported_modules(path)), path


def test_config_is_read_only_where_it_may_be():
    problems = []
    for path in python_files("solo_d2"):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(READS_CONFIG) and path.name != "config.py":
            problems += [f"{name}:{line}" for line in config_reads(path.read_text())]
    assert not problems, "cfg is read outside from_config, config/ and engine/: " + str(problems)


def test_config_rule_sees_reads():
    bad = "def build(cfg):\n    return Head(cfg.MODEL.DEVICE)\n"
    assert config_reads(bad) == [2]
    assert config_reads("def forward(self):\n    return self.cfg.INPUT\n") == [2]
    assert config_reads(bad.replace("build", "from_config")) == []
    assert config_reads("def build(cfg):\n    return Head(cfg)\n") == []


def test_training_steps_make_no_blocking_copies():
    folders = ("layers", "losses", "structures", "modeling", "methods")
    files = python_files(*(f"solo_d2/{folder}" for folder in folders))
    problems = [f"{path}:{line}" for path in files for line in blocking_copies(path.read_text())]
    assert not problems, "use utils.device.copy_to_device: " + str(problems)


def test_blocking_copies_are_seen():
    assert blocking_copies("import torch\nx = torch.tensor([1, 2], device=y.device)\n") == [2]
    assert blocking_copies("import torch\nx = torch.tensor([1, 2])\n") == []


def test_files_are_short():
    files = python_files("solo_d2", "d2lite", "tests", *ENTRY_POINTS)
    sizes = {path: len(path.read_text().splitlines()) for path in files}
    too_long = {str(p.relative_to(ROOT)): n for p, n in sizes.items() if n > MAX_FILE_LINES}
    assert not too_long


def test_no_path_of_a_machine_in_tracked_files():
    problems = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        problems += [f"{path.relative_to(ROOT)}: {found}" for found in machine_paths(text)]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("data = '{}home{}ann/x'", True),
        ("see {}Users{}ann", True),
        ("{}tmp{}x.png", True),
        ("docs{}home{}x", False),
        ("$ROOT{}work{}x", False),
        ("https:{}{}x.org", False),
    ],
)
def test_machine_path_rule(text, found):
    assert bool(machine_paths(text.format("/", "/"))) == found
