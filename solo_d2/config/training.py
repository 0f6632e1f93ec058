"""Keys of the training loop that Detectron2's config does not have."""

from detectron2.config import CfgNode


def add_training_config(cfg: CfgNode) -> None:
    """Adds optimizer, AMP precision, averaged and re-initialized weights, evaluation and its pictures."""
    # "SGD" (the papers) or "AdamW" (short schedules on small data); weight decay groups are the same.
    cfg.SOLVER.OPTIMIZER = "SGD"
    # "float16" (with loss scaling) or "bfloat16"; used when SOLVER.AMP.ENABLED is true.
    cfg.SOLVER.AMP.PRECISION = "float16"
    # Exponential moving average of the weights; evaluation then uses the averaged ones.
    cfg.SOLVER.EMA = CfgNode()
    cfg.SOLVER.EMA.ENABLED = False
    cfg.SOLVER.EMA.DECAY = 0.999
    # Name prefixes of weights to re-initialize instead of loading them from MODEL.WEIGHTS (fine-tuning
    # FreeSOLO: ["head.category_predictor"], its section 6.2.1).
    cfg.MODEL.FRESH_WEIGHTS = []
    # Evaluation result that decides which checkpoint is kept as model_best.pth; "" keeps none.
    cfg.TEST.BEST_METRIC = "segm/AP"
    # Boxes without masks: evaluators measure "bbox" only, and models resize no mask to the image. Boxes come
    # from the masks (SOLOv2 paper, appendix D).
    cfg.TEST.BOX_ONLY = False
    # Class-agnostic evaluation: all classes of ground truth and predictions count as one (FreeSOLO, section
    # 6.3.1), so evaluated data sets may have other classes than the model.
    cfg.TEST.CLASS_AGNOSTIC = False
    # Number of validation pictures (ground truth next to prediction) for TensorBoard at every evaluation.
    cfg.TEST.VIS_IMAGES = 4
