"""Prints what the importable ``detectron2`` says about names given on stdin, as JSON.

A process of its own, because d2lite and the real Detectron2 cannot be imported together:
``echo '["detectron2.structures.Boxes"]' | PYTHONPATH=d2lite python tests/detectron2_signatures.py``.
"""

import enum
import importlib
import inspect
import json
import sys
import types


def resolve(name: str):
    """The module, class, function or value behind a dotted name; raises ``LookupError``."""
    parts = name.split(".")
    for split in range(len(parts), 0, -1):
        module = ".".join(parts[:split])
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            continue
        for attribute in parts[split:]:
            if not hasattr(found, attribute):
                raise LookupError(f"{name}: nothing named {attribute} in {found!r}")
            found = getattr(found, attribute)
        return found
    raise LookupError(f"{name}: no module {parts[0]}")


def default_text(value) -> str:
    """A default's value as text that does not depend on memory addresses or enum classes."""
    if isinstance(value, enum.Enum):
        return f"{value.name}={value.value!r}"
    if isinstance(value, type) or inspect.isroutine(value):
        return value.__qualname__
    return repr(value)


def signature(function) -> list[list] | None:
    """Rows of (name, kind, default text or None); None where Python knows no signature."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return [
        [p.name, p.kind.name, None if p.default is p.empty else default_text(p.default)] for p in parameters
    ]


def describe(found) -> dict:
    """Kind, signature and, of a class, its public members and which of them detectron2 defines."""
    if isinstance(found, types.ModuleType):
        return {"kind": "module"}
    if not inspect.isclass(found):
        kind = "function" if inspect.isroutine(found) else "value"
        return {"kind": kind, "signature": signature(found) if kind == "function" else None}
    members, own = {}, set()
    for base in reversed(found.__mro__):
        for name, member in vars(base).items():
            if not name.startswith("_"):
                unbound = getattr(member, "__func__", member)
                members[name] = signature(unbound) if inspect.isfunction(unbound) else None
                if base.__module__.startswith("detectron2"):
                    own.add(name)
    return {
        "kind": "class",
        "signature": signature(found.__init__),
        "members": members,
        "own": sorted(own),
    }


def config_defaults() -> dict:
    """Every leaf of ``get_cfg()`` as {dotted key: value text}."""
    from detectron2.config import get_cfg

    leaves = {}

    def walk(node, prefix):
        for key, value in node.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")
            else:
                leaves[prefix + key] = repr(value)

    walk(get_cfg(), "")
    return leaves


def main() -> None:
    report = {"names": {}, "missing": {}, "config": config_defaults()}
    for name in json.load(sys.stdin):
        try:
            report["names"][name] = describe(resolve(name))
        except (LookupError, ImportError) as error:
            report["missing"][name] = str(error)
    import detectron2

    report["file"] = detectron2.__file__
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
