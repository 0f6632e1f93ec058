"""Keys of Free Mask (FreeSOLO, section 6.2.2) and of the pseudo-labels of self-training (section 6.2.3)."""

from detectron2.config import CfgNode


def add_free_mask_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.FREE_MASK`` and ``PSEUDO_LABELS``.

    The short side of 800 pixels (section 6.3.1) is ``INPUT.MIN_SIZE_TEST``, Detectron2's default.
    """
    cfg.MODEL.FREE_MASK = CfgNode()
    node = cfg.MODEL.FREE_MASK
    # Backbone output whose cells are the keys and queries.
    node.IN_FEATURE = "res5"
    # Sizes of the queries' feature maps relative to the keys' ("pyramid queries").
    node.QUERY_SCALES = [1.0, 0.5, 0.25]
    # Soft masks, shifted and scaled to 0..1 each, are binarized at this value, inclusive (tau).
    node.MASK_THR = 0.5
    # A mask must cover more cells of the feature map than this.
    node.MIN_AREA = 1
    # Maximum number of masks that enter Matrix NMS, best maskness first: a bound on memory. IN_FEATURE res5
    # at the published image size has fewer queries (1,389 at 800 x 1333), so nothing is dropped.
    node.NMS_PRE = 2000
    # Decay function of Matrix NMS, "gaussian" or "linear", and the gaussian's sigma in exp(-sigma * iou^2).
    node.NMS_KERNEL = "gaussian"
    node.NMS_SIGMA = 2.0
    # Maximum number of masks per image after NMS, and their minimum maskness after NMS, inclusive.
    node.MAX_PER_IMG = 20
    node.MASKNESS_THR = 0.7
    # Boxes at least this fraction of the image wide are treated as background; above 0, and above 1 nothing
    # is dropped.
    node.MAX_BOX_WIDTH = 0.95
    # Masks whose center is within this fraction of the image height from the top are treated as background;
    # below 0 nothing is dropped. The center is the mean of the rows that a mask occupies.
    node.MIN_CENTER_Y = 0.2
    # Length of the semantic embedding: the query's feature, linearly interpolated.
    node.NUM_EMBEDDINGS = 128

    cfg.PSEUDO_LABELS = CfgNode()
    # Images per forward pass (all of one resized shape), and per shard, the unit of writing, resuming, and
    # distribution to processes.
    cfg.PSEUDO_LABELS.BATCH_SIZE = 8
    cfg.PSEUDO_LABELS.SHARD_SIZE = 500
    # Predictions that become labels in self-training (section 6.3.1): their minimum score, inclusive, their
    # maximum number per image, and an exclusive bound on the box's width as a fraction of the image's.
    cfg.PSEUDO_LABELS.UPDATE_THR = 0.3
    cfg.PSEUDO_LABELS.MAX_PER_IMG = 20
    cfg.PSEUDO_LABELS.MAX_BOX_WIDTH = 0.95
