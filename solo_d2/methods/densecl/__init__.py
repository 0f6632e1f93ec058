"""DenseCL (Wang et al., "Dense Contrastive Learning for Self-Supervised Visual Pre-Training", CVPR 2021).

Two views of an image -> query and key encoder, each with a global and a dense projection head (thesis,
figure 5.1). The global vectors are compared as in MoCo-v2; each cell of the query view is compared with its
most similar cell of the key view. Two queues hold the negatives. The result of the training is the query
encoder's backbone.

- ``head.py``: the encoder: backbone and projection heads.
- ``key_encoder.py``: the momentum copy, its queues and the shuffled batch of all processes.
- ``losses.py``: the contrastive loss, and the matching of cells of two views (equation 5.4).
- ``model.py``: the meta-architecture. ``config.py``: ``MODEL.DENSECL`` and ``INPUT.VIEWS``.
"""

from .model import DenseCL

__all__ = ["DenseCL"]
