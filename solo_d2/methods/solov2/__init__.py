"""SOLOv2 (Wang et al., "SOLOv2: Dynamic and Fast Instance Segmentation", NeurIPS 2020).

Image -> FPN -> P2..P6. The kernel branch predicts a convolution kernel G for every cell. The mask feature
branch fuses P2..P5 into one map F at stride 4. A cell's mask is the sigmoid of F * G (figure 2). Matrix NMS
removes duplicates (section 2.2).

- ``head.py``: kernel branch (figure 2, upper path) and mask feature branch (lower path, appendix B).
- ``model.py``: the meta-architecture; the convolution F * G is ``grid/cell_masks.py``, and targets, losses
  and inference are in ``grid/``.
- ``config.py``: ``MODEL.SOLOV2``.
"""

from .model import SOLOv2

__all__ = ["SOLOv2"]
