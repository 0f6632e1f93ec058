"""Files that other machines run, the image and the wheels' workflow, name what the repository has."""

import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def instructions() -> list[list[str]]:
    """The words of each instruction, its continued lines joined."""
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE)).splitlines()
    return [line.split() for line in lines if line.strip()]


def is_sent(name: str) -> bool:
    """Returns what the last line of .dockerignore that matches a name of the root says."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#") and fnmatch(name, line.removeprefix("!")):
            sent = line.startswith("!")
    return sent


def test_the_image_copies_files_that_exist():
    copied = [word for words in instructions() if words[0] == "COPY" for word in words[1:-1]]
    copied += re.findall(r"type=bind,source=([\w.]+)", DOCKERFILE)
    assert {"solo_d2", "d2lite", "configs", "pyproject.toml", "setup.py", "constraints.txt"} <= set(copied)
    for name in copied:
        assert (ROOT / name).exists() and is_sent(name), name
    needed = {tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["readme"], "LICENSE"}
    assert needed <= set(copied)
    assert not is_sent("output") and not is_sent(".git")


def test_each_stage_exists():
    stages = [words[3] for words in instructions() if words[0] == "FROM" and len(words) == 4]
    for words in instructions():
        if words[0] == "FROM" and words[1].startswith("build-"):
            assert {words[1].replace("${VARIANT}", variant) for variant in ("cpu", "cuda")} <= set(stages)
    assert set(re.findall(r"from=(\w+)", DOCKERFILE)) <= set(stages)


def test_commands_of_the_image_are_shell():
    for words in instructions():
        assert words[0] in {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "RUN", "WORKDIR"}
        if words[0] == "RUN":
            assert shlex.split(" ".join(words[1:]))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows(path):
    workflow = yaml.safe_load(path.read_text())
    for job in workflow["jobs"].values():
        assert job["steps"] and all("uses" in step or "run" in step for step in job["steps"])
        for step in job["steps"]:
            for name in re.findall(r"(?<!\S)(?:\./)?(\w[\w./-]*\.(?:txt|toml|py|sh))\b", step.get("run", "")):
                assert (ROOT / name).is_file(), f"{path.name} names {name}"


def test_wheels_are_built_for_the_supported_pythons():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheels = settings["tool"]["cibuildwheel"]
    built = re.findall(r"cp3(\d+)-", wheels["build"])
    classifiers = settings["project"]["classifiers"]
    assert built == [name.rpartition(".")[2] for name in classifiers if re.search(r":: 3\.\d+$", name)]
    for command in (wheels["before-build"], wheels["before-test"]):
        for name in re.findall(r"\{project\}/([\w.]+)", command):
            assert (ROOT / name).exists()
