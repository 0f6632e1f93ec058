"""FreeSOLO (Wang et al., "FreeSOLO: Learning to Segment Objects without Annotations", CVPR 2022).

SOLOv2 trained on Free Mask's coarse masks as weak labels: projections of a mask onto the axes, and
neighboring pixels of similar color that share a mask label, take the place of the mask loss. A cell also
predicts the semantic embedding of its mask. Section numbers in the code are those of Wang's thesis, 6.2.3.

- ``head.py``: SOLOv2's head with the embedding branch.
- ``targets.py``: pairs of neighboring pixels with similar colors.
- ``losses.py``: projection, pairwise and embedding losses.
- ``model.py``: the meta-architecture; everything else is ``solov2/`` and ``grid/``.
- ``config.py``: ``MODEL.FREESOLO``.
"""

from .model import FreeSOLO

__all__ = ["FreeSOLO"]
