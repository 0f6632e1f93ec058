"""Panoptic models (SOLOv2 paper, section 3.2 and appendix F; CondInst paper, section 2.5).

Any instance segmenter gets a semantic branch on its pyramid, and a merge of both results: ``class PanopticX(
PanopticSegmenter, X)`` is all that a panoptic X needs. Better instances take their pixels first; stuff
classes get the rest (Kirillov et al., "Panoptic Feature Pyramid Networks", CVPR 2019).

- ``head.py``: semantic branches: SOLOv2's fusion, CondInst's concatenation, Panoptic-FPN's.
- ``losses.py``: cross entropy of the semantic branch.
- ``postprocess.py``: the merge.
- ``fixed.py``: the same by operations of fixed shapes.
- ``model.py``: the wrapper and its two models. Keys are Detectron2's ``MODEL.SEM_SEG_HEAD`` and
  ``PANOPTIC_FPN``.
"""

from .model import PanopticCondInst, PanopticSegmenter, PanopticSOLOv2

__all__ = ["PanopticCondInst", "PanopticSOLOv2", "PanopticSegmenter"]
