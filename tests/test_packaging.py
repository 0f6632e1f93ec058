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
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRA = re.compile(r"solo_d2\[([\w-]+)\]")
CONSTRAINTS = ("constraints.txt", "constraints-detectron2.txt")


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    return dict(line.lower().split("==") for line in lines if line and not line.startswith("#"))


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def lower_bounds(name: str, extras: bool = True) -> dict[str, str]:
    """Requirements, with ">=" or "=="; the lower bound of each."""
    text = (ROOT / name).read_text()
    if name == "pyproject.toml":
        project = tomllib.loads(text)["project"]
        others = sum(project["optional-dependencies"].values(), []) if extras else []
        words = [*project["dependencies"], *others]
    else:
        words = re.findall(r'"(.+?)"', text if extras else text.partition("extras_require")[0])
    return dict(re.findall(r"^([\w-]+)[>=]=([\d.a-z]+)$", "\n".join(words).lower(), re.MULTILINE))


def test_one_oldest_python():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    oldest = settings["mypy"]["python_version"]
    assert settings["ruff"]["target-version"] == "py" + oldest.replace(".", "")
    assert f'python_requires=">={oldest}"' in (ROOT / "d2lite/setup.py").read_text()
    assert PROJECT["requires-python"] == f">={oldest}"
    for page in ("README.md", "docs/install.md"):
        assert oldest in (ROOT / page).read_text(), page
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    assert oldest in jobs["test"]["strategy"]["matrix"]["python-version"]


def test_one_ruff():
    pinned = pins("constraints.txt")["ruff"]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    [rev] = [repo["rev"] for repo in hooks if repo["repo"].endswith("/ruff-pre-commit")]
    assert rev == f"v{pinned}" and lower_bounds("pyproject.toml")["ruff"] == pinned


@pytest.mark.parametrize("constraints", CONSTRAINTS)
@pytest.mark.parametrize("setup", ["pyproject.toml", "d2lite/setup.py"])
def test_pins_satisfy_the_requirements(constraints, setup):
    pinned, needed = pins(constraints), lower_bounds(setup)
    core = set(lower_bounds(setup, extras=False))
    assert len(core) >= 10 and core <= pinned.keys(), "what is always installed is pinned"
    too_old = {name for name in needed.keys() & pinned if version(pinned[name]) < version(needed[name])}
    assert not too_old


# Distributions that are imported by another name, and imports that are optional.
DISTRIBUTIONS = {"pil": "pillow", "cv2": "opencv-python-headless", "yaml": "pyyaml"}
OPTIONAL = {"faster_coco_eval", "huggingface_hub", "supervision"}


@pytest.mark.parametrize(
    ("setup", "package"), [("pyproject.toml", "solo_d2"), ("d2lite/setup.py", "d2lite/detectron2")]
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
    assert needed <= lower_bounds(setup, extras=False).keys()


def test_rarely_used_packages_are_extras():
    extras = PROJECT["optional-dependencies"]
    rare = {"shapely", "portalocker", "tensorboard", "supervision", "onnx", "timm", "d2lite"}
    for setup in ("pyproject.toml", "d2lite/setup.py"):
        assert not rare & lower_bounds(setup, extras=False).keys(), setup
    named = {word for path in (ROOT / "solo_d2").rglob("*.py") for word in EXTRA.findall(path.read_text())}
    assert named and named <= extras.keys(), "what an error names exists"
    [everything] = extras["all"]
    parts = set(everything.partition("[")[2].rstrip("]").split(","))
    assert parts == extras.keys() - {"all", "dev", "docs", "lite"}


def test_the_second_set_differs_only_where_detectron2_demands_it():
    usual, other = (pins(name) for name in CONSTRAINTS)
    assert other.keys() - usual.keys() == {"torchvision"} and usual.keys() <= other.keys()
    assert {name for name in usual if usual[name] != other[name]} == {"iopath", "omegaconf", "setuptools"}
    limits = {"iopath": (0, 1, 10), "omegaconf": (2, 4), "setuptools": (81,)}
    assert all(version(other[name]) < limit for name, limit in limits.items())


def run(*command: str | Path, cwd: Path, code: int = 0) -> str:
    """Runs a command; returns what it prints, or its errors if it is to fail."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == code, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stderr if code else done.stdout


def clean_environment(folder: Path) -> Path:
    """Makes an environment that has this one's packages, but neither solo_d2 nor any Detectron2."""
    venv.create(folder, with_pip=False)
    (folder / "others").mkdir()
    for parent in (Path(path) for path in sys.path if path.endswith("-packages")):
        for path in parent.iterdir():
            if not re.search("solo_d2|d2lite|detectron2|[.]pth$", path.name):
                (folder / "others" / path.name).symlink_to(path)
    [site] = folder.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(f"{folder / 'others'}\n")
    return folder / "bin" / "python"


def install_detectron2(python: Path, pip: list, folder: Path) -> None:
    """Adds the Detectron2 that this environment has: d2lite as the extra, or the real one."""
    if "d2lite" in detectron2.__version__:
        shutil.copytree(ROOT / "d2lite", folder / "d2lite")  # pip builds in the folder itself
        wheel = [python, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
        run(*wheel, "-w", folder / "dist", folder / "d2lite", cwd=folder)
        run(*pip, "--find-links", folder / "dist", "solo_d2[lite]", cwd=folder)
    else:
        [site] = python.parents[1].glob("lib/python*/site-packages")
        (site / "real.pth").write_text(f"{Path(detectron2.__file__).resolve().parents[1]}\n")


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
    needed |= {"solo_d2/py.typed"}
    for folder, pattern in (("configs", "*.yaml"), ("solo_d2/ops/csrc", "*.*"), ("solo_d2", "*.py")):
        needed |= {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob(pattern)}
    assert not needed - names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


@pytest.mark.slow
def test_the_source_distribution_installs_and_works(archive, tmp_path):
    python = clean_environment(tmp_path / "env")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    pip += ["--no-build-isolation", "--no-index"]  # so that all requirements but Detectron2 must be here
    run(*pip, archive, cwd=tmp_path)
    for start in ([python, "-c", "import solo_d2"], [tmp_path / "env" / "bin" / "solo-d2", "train"]):
        [line] = run(*start, cwd=tmp_path, code=1).splitlines()
        assert 'pip install "solo_d2[lite]"' in line
    install_detectron2(python, pip, tmp_path)
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
