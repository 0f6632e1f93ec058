"""A method is a room: code that only one method uses is in its folder, and a model is few files to read."""

import ast

import pytest

from tests.structure import PACKAGE, READING_LIMITS, Structure, methods, room

# Methods build on each other only along these lines; a panoptic form wraps any.
METHOD_IMPORTS = {
    "solo": {"grid"},
    "solov2": {"grid"},
    "freesolo": {"grid", "solov2"},
    "panoptic": {"solov2", "condinst"},
}


@pytest.fixture(scope="module")
def structure():
    return Structure()


@pytest.mark.parametrize("method", READING_LIMITS)
def test_a_model_is_few_files_to_read(structure, method):
    files = structure.reading_list(f"{PACKAGE}.methods.{method}.model")
    assert len(files) <= READING_LIMITS[method], "\n".join(files)


def test_shared_modules_have_two_importers(structure):
    assert structure.single_importer_modules() == []


def test_code_of_one_method_lies_in_its_folder(structure):
    assert structure.misplaced_names() == []


def test_no_circles(structure):
    assert structure.circles() == []


def test_methods_import_each_other_along_a_short_list(structure):
    found = {}
    for module, homes in structure.arrows.items():
        here = room(module)
        if here.startswith("methods.") and not module.endswith("methods"):
            others = {room(home) for home in homes} - {here}
            names = {other.removeprefix("methods.") for other in others if other.startswith("methods.")}
            found.setdefault(here.removeprefix("methods."), set()).update(names)
    for method, names in found.items():
        assert names <= METHOD_IMPORTS.get(method, set()), (method, names)


def test_every_method_opens_with_its_map(structure):
    """A room's docstring names the paper and each of its files."""

    for method in methods(structure):
        face = f"{PACKAGE}.methods.{method}"
        text = ast.get_docstring(structure.trees[face]) or ""
        own = [m.rpartition(".")[2] for m in structure.paths if m.startswith(f"{face}.")]
        missing = [name for name in own if f"{name}.py" not in text]
        assert not missing, f"solo_d2/methods/{method}/__init__.py does not say what these are: {missing}"


def test_the_rules_see_what_they_forbid(tmp_path):
    files = {
        "solo_d2/__init__.py": "",
        "solo_d2/layers/__init__.py": "from .lonely import helper\n",
        "solo_d2/layers/lonely.py": "def helper():\n    pass\n",
        "solo_d2/layers/one.py": "from .two import b\n",
        "solo_d2/layers/two.py": "from .one import a\n",
        "solo_d2/methods/__init__.py": "",
        "solo_d2/methods/x/__init__.py": "",
        "solo_d2/methods/x/model.py": "from solo_d2.layers import helper\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    broken = Structure(tmp_path)
    assert "solo_d2.layers.lonely" in broken.single_importer_modules()
    assert broken.misplaced_names() == ["solo_d2.layers.lonely.helper is used by methods.x only"]
    assert broken.circles() == [["solo_d2.layers.one", "solo_d2.layers.two"]]
    expected = ["solo_d2.layers.lonely", "solo_d2.methods.x.model"]
    assert broken.reading_list("solo_d2.methods.x.model") == expected
