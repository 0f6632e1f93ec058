"""What SOLO, Decoupled SOLO and SOLOv2 share: a grid of cells per pyramid level, one class and mask per cell.

Pyramid levels -> head -> class scores and the parts of a mask for each cell -> losses or instances.

- ``layout.py``: strides, grids and scale ranges of the levels, and what a batch's cells learn.
- ``head.py``: the category branch of every head, and the loop over levels (SOLO paper, figure 3).
- ``cell_masks.py``: a cell's mask, computed only where it is asked for: dynamic convolution or level by
  level.
- ``targets.py``: which cells learn which instances (SOLO paper, section 3.3.1).
- ``losses.py``: focal loss on cells, dice and other losses on masks (section 3.3.2).
- ``postprocess.py``: points NMS, Matrix NMS, and masks at the size of the image (SOLOv2 paper, section 2.2).
- ``model.py``: the segmenter that puts them together; ``activations.py`` reads its predictions for pictures.
"""
