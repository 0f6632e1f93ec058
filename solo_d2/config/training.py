"""Keys of the training loop that Detectron2's own config does not have."""

from detectron2.config import CfgNode


def add_training_config(cfg: CfgNode) -> None:
    """Adds optimizer choice, AMP precision, weight averaging, best checkpoint and validation pictures."""
    # "SGD" (the papers) or "AdamW" (short schedules on small data); weight decay groups are the same.
    cfg.SOLVER.OPTIMIZER = "SGD"
    # "float16" (with loss scaling) or "bfloat16"; used when SOLVER.AMP.ENABLED is true.
    cfg.SOLVER.AMP.PRECISION = "float16"
    # Exponential moving average of the weights; evaluation then uses the averaged ones.
    cfg.SOLVER.EMA = CfgNode()
    cfg.SOLVER.EMA.ENABLED = False
    cfg.SOLVER.EMA.DECAY = 0.999
    # Evaluation result that decides which checkpoint is kept as model_best.pth; "" keeps none.
    cfg.TEST.BEST_METRIC = "segm/AP"
    # Boxes without masks: evaluators measure "bbox" only, and models resize no mask to the image. Boxes are
    # those of the masks (SOLOv2 paper, appendix D).
    cfg.TEST.BOX_ONLY = False
    # Validation pictures (ground truth beside prediction) written to TensorBoard at every evaluation.
    cfg.TEST.VIS_IMAGES = 4
