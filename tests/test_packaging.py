"""Packaging files agree, and a source distribution installs and works without the checkout."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
from pathlib import Path

import pytest
import yaml

import detectron2

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
CONSTRAINTS = ("constraints.txt", "constraints-detectron2.txt")


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    return dict(line.lower().split("==") for line in lines if line and not line.startswith("#"))


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def lower_bounds(name: str, until: str = "no such word") -> dict[str, str]:
    """Requirements of a setup.py, quoted with ">=" or "=="; the lower bound of each."""
    text = (ROOT / name).read_text().lower().partition(until)[0]
    return dict(re.findall(r'"([\w-]+)[>=]=([\d.a-z]+)"', text))


def test_one_oldest_python():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    oldest = settings["mypy"]["python_version"]
    assert settings["ruff"]["target-version"] == "py" + oldest.replace(".", "")
    for setup in ("setup.py", "d2lite/setup.py"):
        assert f'python_requires=">={oldest}"' in (ROOT / setup).read_text(), setup
    for page in ("README.md", "docs/install.md"):
        assert oldest in (ROOT / page).read_text(), page
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    assert oldest in jobs["test"]["strategy"]["matrix"]["python-version"]


def test_one_ruff():
    pinned = pins("constraints.txt")["ruff"]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    [rev] = [repo["rev"] for repo in hooks if repo["repo"].endswith("/ruff-pre-commit")]
    assert rev == f"v{pinned}" and lower_bounds("setup.py")["ruff"] == pinned


@pytest.mark.parametrize("constraints", CONSTRAINTS)
@pytest.mark.parametrize("setup", ["setup.py", "d2lite/setup.py"])
def test_pins_satisfy_the_requirements(constraints, setup):
    pinned, needed = pins(constraints), lower_bounds(setup)
    core = set(lower_bounds(setup, until="extras_require"))
    assert len(core) > 10 and core <= pinned.keys(), "what is always installed is pinned"
    too_old = {name for name in needed.keys() & pinned if version(pinned[name]) < version(needed[name])}
    assert not too_old


# Distributions that are imported by another name, and imports that are optional.
DISTRIBUTIONS = {"pil": "pillow", "cv2": "opencv-python-headless", "yaml": "pyyaml"}
OPTIONAL = {"faster_coco_eval", "supervision"}


@pytest.mark.parametrize(
    ("setup", "package"), [("setup.py", "solo_d2"), ("d2lite/setup.py", "d2lite/detectron2")]
)
def test_what_is_imported_is_required(setup, package):
    imported = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
    others = imported - sys.stdlib_module_names - {"solo_d2", "detectron2"} - OPTIONAL
    needed = {DISTRIBUTIONS.get(name.lower(), name) for name in others}
    assert needed <= lower_bounds(setup, until="extras_require").keys()


def test_the_second_set_differs_only_where_detectron2_demands_it():
    usual, other = (pins(name) for name in CONSTRAINTS)
    assert other.keys() - usual.keys() == {"torchvision"} and usual.keys() <= other.keys()
    assert {name for name in usual if usual[name] != other[name]} == {"iopath", "omegaconf", "setuptools"}
    limits = {"iopath": (0, 1, 10), "omegaconf": (2, 4), "setuptools": (81,)}
    assert all(version(other[name]) < limit for name, limit in limits.items())


def run(*command: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def clean_environment(folder: Path) -> Path:
    """Makes an environment that has this one's packages, but nothing that is installed in editable mode."""
    venv.create(folder, with_pip=False)
    [site] = folder.glob("lib/python*/site-packages")
    parents = [path for path in sys.path if path.endswith("-packages")]
    (site / "parent.pth").write_text("\n".join(parents) + "\n")
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The source distribution, made in a copy of what git tracks."""
    folder = tmp_path_factory.mktemp("sdist")
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines()
    for name in names:
        if (ROOT / name).is_file():
            (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "tree" / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "setup.py", "-q", "sdist", "--dist-dir", folder, cwd=folder / "tree")
    [path] = folder.glob("*.tar.gz")
    return path


@pytest.mark.slow
def test_the_source_distribution_is_complete(archive):
    with tarfile.open(archive) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    needed = {"pyproject.toml", "setup.py", "LICENSE", "README.md", "CHANGELOG.md", "constraints.txt"}
    for folder, pattern in (("configs", "*.yaml"), ("solo_d2/ops/csrc", "*.*"), ("solo_d2", "*.py")):
        needed |= {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob(pattern)}
    assert not needed - names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


@pytest.mark.slow
def test_the_source_distribution_installs_and_works(archive, tmp_path):
    python = clean_environment(tmp_path / "env")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    install = [*pip, "--no-deps", "--no-build-isolation", "--no-index"]
    if "d2lite" in detectron2.__version__:
        shutil.copytree(ROOT / "d2lite", tmp_path / "d2lite")  # pip builds in the folder itself
        run(*install, tmp_path / "d2lite", cwd=tmp_path)
    run(*install, archive, cwd=tmp_path)
    code = (
        "import solo_d2, pathlib; from solo_d2 import model_zoo; print(solo_d2.__file__); "
        "print(len(list(pathlib.Path(solo_d2.__file__).parent.rglob('configs/**/*.yaml')))); "
        "print(model_zoo.get_config('mmdet/solov2_R50_3x').SOLVER.MAX_ITER)"
    )
    place, count, steps = run(python, "-c", code, cwd=tmp_path).split()
    assert Path(place).is_relative_to(tmp_path / "env")
    assert int(count) == len(list((ROOT / "configs").rglob("*.yaml"))) and steps == "270000"
    assert "train" in run(tmp_path / "env" / "bin" / "solo-d2", "--help", cwd=tmp_path)
    kernels = run(python, "-m", "solo_d2.ops", cwd=tmp_path)
    assert "compiled" in kernels, kernels
