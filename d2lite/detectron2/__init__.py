"""d2lite: the part of Detectron2's public API that solo_d2 uses, in pure Python.

The version string carries the local part ``+d2lite``, so that a report or a bug always tells it
from the real Detectron2.
"""

__version__ = "0.6+d2lite.1"
