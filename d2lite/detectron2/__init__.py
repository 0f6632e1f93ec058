"""d2lite: the part of Detectron2's public API that solo_d2 uses, in pure Python.

The local part ``+d2lite`` of the version distinguishes it from the real Detectron2 in any report.
"""

__version__ = "0.6+d2lite.2"
