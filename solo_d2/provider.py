"""Ends the import of this package in one line where no Detectron2 is installed.

pip cannot install one along with it: PyPI does not have the real one, which d2lite must not replace.
"""

import sys
from importlib.util import find_spec

HOW_TO_INSTALL = (
    'pip install "solo_d2[lite]" for d2lite (in a checkout: pip install ./d2lite), or, for the real one, '
    "pip install --no-build-isolation git+https://github.com/facebookresearch/detectron2"
)


class MissingDetectron2(ImportError):
    """No Detectron2 can be imported; a program that this ends prints the message without a traceback."""


def require_detectron2() -> None:
    """Raises ``MissingDetectron2`` if ``detectron2`` is nowhere, or only a folder that is no package."""
    spec = find_spec("detectron2")
    if spec is not None and spec.origin is not None:
        return
    usual = sys.excepthook

    def print_message(kind, error, trace):
        if kind is MissingDetectron2:
            print(f"error: {error}", file=sys.stderr)
        else:
            usual(kind, error, trace)

    sys.excepthook = print_message
    raise MissingDetectron2(f"solo_d2 needs Detectron2: {HOW_TO_INSTALL}", name="detectron2")


require_detectron2()
