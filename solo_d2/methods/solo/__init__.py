"""SOLO and Decoupled SOLO (Wang et al., "SOLO: Segmenting Objects by Locations", ECCV 2020).

Image -> FPN -> five levels, each divided into S x S cells. A cell's class comes from the category branch. Its
mask is channel i * S + j of the mask branch (figure 2), or the product of channel j of X and channel i of Y
(Decoupled SOLO, figure 5). SOLOv2's Matrix NMS removes duplicates.

- ``head.py``: the mask branches of both figures; the category branch is in ``grid/head.py``.
- ``model.py``: the two meta-architectures; targets, losses and inference are in ``grid/``.
- ``config.py``: ``MODEL.SOLO``.
"""

from .model import SOLO, DecoupledSOLO

__all__ = ["DecoupledSOLO", "SOLO"]
