"""Free Mask (Wang et al., "FreeSOLO: Learning to Segment Objects without Annotations", CVPR 2022).

The cells of a pre-trained backbone's feature map are keys and, at three sizes, queries. A query's cosine
similarity with all keys is a soft mask (thesis, figure 6.2); Matrix NMS keeps the best of them. Nothing is
trained here: FreeSOLO learns from these coarse masks. Section numbers in the code are those of Wang's
thesis, 6.2.2.

- ``postprocess.py``: pyramid queries, soft masks, maskness, NMS and filters.
- ``model.py``: the backbone with that postprocessing as a meta-architecture.
- ``config.py``: ``MODEL.FREE_MASK`` and ``PSEUDO_LABELS``.
"""

from .model import FreeMask

__all__ = ["FreeMask"]
