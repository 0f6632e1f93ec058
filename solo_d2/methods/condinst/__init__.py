"""CondInst (Tian et al., "Instance and Panoptic Segmentation Using Conditional Convolutions").

Image -> FPN -> P3..P7 -> FCOS head, whose controller predicts the filters of a small mask head at every
location (figure 3, upper path). The bottom branch turns P3..P5 into 8 channels (lower path); with
coordinates relative to the location they are the mask head's input.

- ``head.py``: FCOS: class, center-ness, box and controller. ``mask_head.py``: bottom branch and mask head.
- ``points.py``: locations of the pyramid levels. ``targets.py``: which location learns which instance.
- ``losses.py``: FCOS's losses; the dice loss of the masks is in ``model.py``.
- ``postprocess.py``: box NMS or mask NMS, and masks at the size of the image; ``fixed.py``: the same by
  operations of fixed shapes, for export.
- ``config.py``: ``MODEL.FCOS`` and ``MODEL.CONDINST``.
"""

from .model import CondInst

__all__ = ["CondInst"]
