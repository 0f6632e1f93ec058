"""d2lite provides what this repository imports from ``detectron2``, exactly as the real one does.

The names are collected from the sources with ``ast``. The installed Detectron2 must provide
each of them. If it is the real one, d2lite's counterparts are compared with it: parameters, defaults,
public members, and the config defaults that the project reads.
"""

import ast
import importlib.util
import io
import json
import os
import subprocess
import sys
import tokenize
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
D2LITE = ROOT / "d2lite"
MAX_D2LITE_CODE_LINES = 4600
MIN_D2LITE_TYPED_ARGUMENTS = 0.95
# The compiled module that only the real Detectron2 has.
IS_REAL = importlib.util.find_spec("detectron2._C") is not None


def project_files() -> list[Path]:
    folders = [ROOT / name for name in ("solo_d2", "tools", "demo", "benchmarks", "tests")]
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    files = [path for path in files if not path.is_relative_to(ROOT / "tests" / "d2lite")]
    return [*files, *(path for path in [ROOT / "train_net.py"] if path.is_file())]


def attribute_chain(node: ast.AST) -> list[str] | None:
    """``a.b.c`` as ["a", "b", "c"]; None where the chain does not start at a plain name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else None


def detectron2_names(source: str) -> set[str]:
    """Imported names, and attributes that are read from them (``T.Resize`` after ``... as T``)."""
    tree = ast.parse(source)
    bound = {}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            if (node.module or "").partition(".")[0] == "detectron2":
                for alias in node.names:
                    bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "detectron2":
                    found.add(alias.name)
                    bound[alias.asname or "detectron2"] = alias.name if alias.asname else "detectron2"
    found.update(bound.values())
    for node in ast.walk(tree):
        chain = attribute_chain(node) if isinstance(node, ast.Attribute) else None
        if chain and chain[0] in bound:
            found.add(".".join([bound[chain[0]], chain[1]]))
    return found


def config_keys(source: str) -> set[str]:
    """Upper-case chains read from anything called ``cfg``: ``cfg.MODEL.DEVICE``."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        chain = attribute_chain(node) if isinstance(node, ast.Attribute) else None
        if chain and "cfg" in chain:
            keys = chain[chain.index("cfg") + 1 :]
            upper = keys[: next((i for i, key in enumerate(keys) if not key.isupper()), len(keys))]
            if upper:
                found.add(".".join(upper))
    return found


@cache
def collected_names() -> tuple[str, ...]:
    found = set().union(*(detectron2_names(path.read_text()) for path in project_files()))
    return tuple(sorted(found))


@cache
def report(use_d2lite: bool) -> dict:
    """Returns the report of d2lite, or of the installed Detectron2, on the collected names."""
    environment = dict(os.environ)
    if use_d2lite:
        environment["PYTHONPATH"] = str(D2LITE)
    script = Path(__file__).with_name("detectron2_signatures.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)],
        env=environment,
        text=True,
        input=json.dumps(collected_names()),
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def code_lines(source: str) -> int:
    """Lines that hold code: no blank lines, comments or docstrings."""
    lines: set[int] = set()
    layout = (
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    )
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in layout:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def typed_arguments(source: str) -> tuple[int, int]:
    """Counts the typed arguments and all arguments of a source's functions, without lambdas."""
    typed = total = 0
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        arguments = node.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        named = [a for a in named if a.arg not in ("self", "cls")]
        named += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
        typed += sum(a.annotation is not None for a in named)
        total += len(named)
    return typed, total


def signature_differences(ours: list | None, real: list | None) -> list[str]:
    """Lists how a call that works with d2lite could fail, or mean something else, with the real one.

    d2lite may leave out what nothing here uses (keypoints, proposals): keyword-only parameters, and
    positional ones behind its own last one. All others have the real names, order and defaults.
    """
    if ours is None or real is None:
        return [] if ours == real else ["only one of the two is a function"]
    problems = []
    accepted = {name: row for name, *row in real}
    for name, *row in ours:
        if name not in accepted:
            problems.append(f"parameter {name} does not exist in the real one")
        elif accepted[name] != row:
            problems.append(f"parameter {name} is {row}, in the real one {accepted[name]}")
    own = {name for name, *_ in ours}
    needed = [
        name
        for name, kind, default in real
        if default is None and not kind.startswith("VAR_") and name not in own
    ]
    if needed:
        problems.append(f"the real one cannot be called without {needed}")
    own_order = [name for name, kind, _ in ours if kind.startswith("POSITIONAL")]
    real_order = [name for name, kind, _ in real if kind.startswith("POSITIONAL")]
    if not problems and own_order != real_order[: len(own_order)]:
        problems.append(f"takes positions {own_order}, the real one {real_order}")
    return problems


def compare(ours: dict, real: dict) -> list[str]:
    """Differences between two entries of ``report(...)["names"]``."""
    if ours["kind"] != real["kind"]:
        return [f"is a {ours['kind']}, the real one a {real['kind']}"]
    problems = signature_differences(ours.get("signature"), real.get("signature"))
    for member in ours.get("own", []):
        if member not in real["members"]:
            problems.append(f"{member} does not exist in the real one")
            continue
        found = signature_differences(ours["members"][member], real["members"][member])
        problems += [f"{member}: {problem}" for problem in found]
    return problems


def test_collecting_names_and_keys():
    source = (
        "from detectron2.data import transforms as T, build as b\nimport detectron2.utils.comm as c\n"
        "def f(cfg): return T.Resize(c.rank(), b, cfg.MODEL.DEVICE.lower(), self.cfg.INPUT.FORMAT)"
    )
    assert detectron2_names(source) == {
        "detectron2.data.transforms",
        "detectron2.data.transforms.Resize",
        "detectron2.data.build",
        "detectron2.utils.comm",
        "detectron2.utils.comm.rank",
    }
    assert config_keys(source) == {"MODEL", "MODEL.DEVICE", "INPUT", "INPUT.FORMAT"}
    assert code_lines('"""Doc.\n\nMore."""\n\n# note\nx = [\n    1,\n]\n') == 3
    assert typed_arguments("def f(self, a: int, b, *c, d: str = '', **e: int): return lambda x: x") == (3, 5)


def test_comparing_signatures():
    word = "POSITIONAL_OR_KEYWORD"
    real = [["a", word, None], ["b", word, "1"], ["c", word, "2"], ["d", "KEYWORD_ONLY", "3"]]
    assert signature_differences(real, real) == []
    assert signature_differences(real[:2], real) == [], "left out at the end"
    assert "positions" in signature_differences([real[0], real[2]], real)[0]
    assert "without" in signature_differences(real[1:], real)[0]
    assert "is" in signature_differences([real[0], ["b", word, "5"]], real)[0]
    assert "exist" in signature_differences([*real, ["e", word, "4"]], real)[0]


def test_installed_detectron2_provides_every_imported_name():
    assert collected_names()
    assert report(use_d2lite=False)["missing"] == {}


def test_d2lite_provides_every_imported_name():
    lite = report(use_d2lite=True)
    assert Path(lite["file"]).is_relative_to(D2LITE)
    assert lite["missing"] == {}


def test_config_keys_that_are_read_exist():
    from solo_d2.config import get_cfg

    keys = set().union(*(config_keys(path.read_text()) for path in project_files()))
    assert keys
    cfg = get_cfg()
    for key in sorted(keys):
        node = cfg
        for part in key.split("."):
            assert part in node, f"cfg.{key} is read, but no default declares it"
            node = node[part]


@pytest.mark.skipif(not IS_REAL, reason="compares d2lite with the real Detectron2: not installed")
def test_signatures_agree_with_the_real_detectron2():
    ours, real = report(use_d2lite=True)["names"], report(use_d2lite=False)["names"]
    problems = [
        f"{name}: {difference}"
        for name in ours
        if name in real
        for difference in compare(ours[name], real[name])
    ]
    assert not problems, "\n".join(problems)


@pytest.mark.skipif(not IS_REAL, reason="compares d2lite with the real Detectron2: not installed")
def test_config_defaults_agree_with_the_real_detectron2():
    ours, real = report(use_d2lite=True)["config"], report(use_d2lite=False)["config"]
    differences = {key: (value, real.get(key)) for key, value in ours.items() if real.get(key) != value}
    assert not differences


def test_d2lite_stays_small():
    total = sum(code_lines(path.read_text()) for path in D2LITE.rglob("detectron2/**/*.py"))
    assert 0 < total <= MAX_D2LITE_CODE_LINES


def test_d2lite_is_typed():
    counts = [typed_arguments(path.read_text()) for path in D2LITE.rglob("detectron2/**/*.py")]
    typed, total = map(sum, zip(*counts, strict=True))
    assert typed / total >= MIN_D2LITE_TYPED_ARGUMENTS, f"{typed} of {total} arguments are typed"
