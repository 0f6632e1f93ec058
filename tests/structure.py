"""The import structure of ``solo_d2``, read from the sources: who uses what, and which files make a model.

    python tests/structure.py

prints, for every method, the files to read to its end, and whatever breaks the rules that
``tests/test_structure.py`` holds.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "solo_d2"
# Floors whose modules exist because at least two others need them.
SHARED_FLOORS = ("utils", "structures", "ops", "layers", "losses", "modeling")
# The most files a reader opens to understand a model to its end, package faces (``__init__``) not counted.
READING_LIMITS = {"solov2": 27, "condinst": 24, "freesolo": 33}
# Modules that users import themselves or that a registry finds: one importer, or none, is enough for them.
PUBLIC = ("solo_d2.ops", "solo_d2.modeling.backbones")


class Structure:
    """Modules of the package and which of them import which names of others."""

    def __init__(self, root: Path = ROOT):
        self.root = root
        self.paths = {module_name(path, root): path for path in sorted((root / PACKAGE).rglob("*.py"))}
        self.trees = {name: ast.parse(path.read_text()) for name, path in self.paths.items()}

    def is_face(self, module: str) -> bool:
        """Returns whether a module is a package's ``__init__``, which only hands names on."""
        return self.paths[module].name == "__init__.py"

    @cached_property
    def imports(self) -> dict[str, list[tuple[str, str]]]:
        """Maps each module to the (base module, name) pairs of its ``from`` imports."""
        return {name: list(self._imports_of(name)) for name in self.paths}

    def _imports_of(self, module: str) -> Iterable[tuple[str, str]]:
        package = module if self.is_face(module) else module.rpartition(".")[0]
        for node in ast.walk(self.trees[module]):
            if isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    parents = package.split(".")
                    parents = parents[: len(parents) - node.level + 1]
                    base = ".".join([*parents, base] if base else parents)
                yield from ((base, alias.name) for alias in node.names)

    def home(self, base: str, name: str) -> str | None:
        """Returns the module that defines ``base.name``, through faces that hand it on; None outside."""
        if base not in self.paths:
            return None
        if self.is_face(base):
            for other, handed_on in self.imports[base]:
                if handed_on == name and (other, name) != (base, name):
                    return self.home(other, name)
        return f"{base}.{name}" if f"{base}.{name}" in self.paths else base

    @cached_property
    def arrows(self) -> dict[str, set[str]]:
        """Maps each module to the modules whose definitions it imports."""
        arrows: dict[str, set[str]] = {}
        for module, pairs in self.imports.items():
            homes = {self.home(base, name) for base, name in pairs}
            arrows[module] = {home for home in homes if home and home != module}
        return arrows

    @cached_property
    def importers(self) -> dict[str, set[str]]:
        """Maps each module to the modules, faces aside, that import definitions of it."""
        importers: dict[str, set[str]] = defaultdict(set)
        for module, homes in self.arrows.items():
            for home in homes if not self.is_face(module) else ():
                importers[home].add(module)
        return importers

    def reading_list(self, module: str) -> list[str]:
        """Returns a module and all it stands on within the package, faces aside, sorted."""
        seen: set[str] = set()
        open_ends = [module]
        while open_ends:
            here = open_ends.pop()
            if here not in seen and not self.is_face(here):
                seen.add(here)
                open_ends.extend(self.arrows[here])
        return sorted(seen)

    def circles(self) -> list[list[str]]:
        """Returns the groups of modules, faces aside, that import each other in a loop."""
        reached = {m: set(self.reading_list(m)) for m in self.paths if not self.is_face(m)}
        groups = {
            tuple(sorted(other for other in seen if module in reached[other]))
            for module, seen in reached.items()
        }
        return sorted(list(group) for group in groups if len(group) > 1)

    def shared_modules(self) -> list[str]:
        """Returns the modules of the shared floors, faces and public ones aside."""
        floors = tuple(f"{PACKAGE}.{floor}." for floor in SHARED_FLOORS)
        modules = [m for m in self.paths if m.startswith(floors) and not self.is_face(m)]
        return [m for m in modules if not m.startswith(PUBLIC)]

    def single_importer_modules(self) -> list[str]:
        """Returns the shared modules that fewer than two modules import."""
        return [m for m in self.shared_modules() if len(self.importers[m]) < 2]

    def misplaced_names(self) -> list[str]:
        """Returns the public definitions on shared floors that a single method and nothing else uses."""
        users: dict[tuple[str, str], set[str]] = defaultdict(set)
        for module, pairs in self.imports.items():
            for base, name in pairs if not self.is_face(module) else ():
                home = self.home(base, name)
                if home is not None:
                    users[home, name].add(room(module))
        found = []
        for module in self.shared_modules():
            for name in public_definitions(self.trees[module]):
                rooms = users[module, name]
                used_at_home = ast.unparse(self.trees[module]).count(name) > 1
                if len(rooms) == 1 and next(iter(rooms)).startswith("methods.") and not used_at_home:
                    found.append(f"{module}.{name} is used by {next(iter(rooms))} only")
        return found


def module_name(path: Path, root: Path) -> str:
    """Returns a file's dotted module name."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """Returns where a module lives: "methods.solov2" for a method, else its floor, such as "data"."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2]) if parts[:1] == ["methods"] else (parts[0] if parts else "")


def public_definitions(tree: ast.Module) -> list[str]:
    """Returns the names of a module's functions and classes without a leading underscore."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


def methods(structure: Structure) -> list[str]:
    """Returns the folders of ``solo_d2/methods`` that have a model."""
    prefix = f"{PACKAGE}.methods."
    return sorted(m.split(".")[2] for m in structure.paths if m.startswith(prefix) and m.endswith(".model"))


def main() -> None:
    """Prints the reading lists and the broken rules."""
    structure = Structure()
    for method in methods(structure):
        files = structure.reading_list(f"{PACKAGE}.methods.{method}.model")
        own = [f for f in files if room(f) == f"methods.{method}"]
        limit = READING_LIMITS.get(method, "-")
        print(f"{method:10} {len(files):3} files to read (limit {limit}), {len(own)} of them in its folder")
        for file in files:
            print(f"    {file}")
    for title, lines in (
        ("Shared modules with fewer than two importers", structure.single_importer_modules()),
        ("Shared definitions that one method uses", structure.misplaced_names()),
        ("Circles", [", ".join(circle) for circle in structure.circles()]),
    ):
        print(f"{title}: {len(lines)}")
        for line in lines:
            print(f"    {line}")


if __name__ == "__main__":
    main()
