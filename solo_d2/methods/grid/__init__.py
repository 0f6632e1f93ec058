"""Shared parts of SOLO, Decoupled SOLO and SOLOv2: grids of cells, with one class and one mask per cell.

Pyramid levels -> head -> class scores and the parts of a mask for each cell -> losses or instances.

- ``layout.py``: strides, grids and scale ranges of the levels, and the targets of a batch's cells.
- ``head.py``: the category branch of every head, and the loop over levels (SOLO paper, figure 3).
- ``cell_masks.py``: the masks of requested cells only, by dynamic convolution or level by level.
- ``targets.py``: which cells learn which instances (SOLO paper, section 3.3.1).
- ``losses.py``: focal loss on cells, dice and other losses on masks (section 3.3.2).
- ``postprocess.py``: points NMS, Matrix NMS, and masks at the size of the image (SOLOv2 paper, section 2.2);
  ``fixed.py``: the same by operations of fixed shapes, for export.
- ``config.py``: the keys that ``MODEL.SOLO`` and ``MODEL.SOLOV2`` share.
- ``model.py``: the segmenter that combines them; ``activations.py`` exposes its predictions for pictures.
"""
