"""Keys of the training loop that Detectron2's config does not have."""

from detectron2.config import CfgNode


def add_training_config(cfg: CfgNode) -> None:
    """Adds keys of optimizer, precision, checkpoints, averaged and re-initialized weights, and evaluation."""
    # What a training without --resume does if another training used or uses OUTPUT_DIR: "number" takes the
    # first free one of OUTPUT_DIR_1, OUTPUT_DIR_2, ..., and "refuse" stops.
    cfg.OUTPUT_DIR_IF_USED = "number"
    # Minutes in which the command train takes all its steps, those it measures before included: they replace
    # SOLVER.MAX_ITER, and SOLVER.STEPS move in proportion. Evaluation comes on top. 0 for no limit.
    cfg.SOLVER.MAX_MINUTES = 0
    # Minutes between two checkpoints for --resume, of which the newest two are kept; 0 for none.
    cfg.SOLVER.CHECKPOINT_MINUTES = 10
    # How many of the newest checkpoints of SOLVER.CHECKPOINT_PERIOD are kept; 0 for all.
    cfg.SOLVER.CHECKPOINT_MAX_TO_KEEP = 0
    # "SGD" (the papers) or "AdamW" (short schedules on small data); weight decay groups are the same.
    cfg.SOLVER.OPTIMIZER = "SGD"
    # With AdamW: factor on the learning rate from each layer of the backbone to the one before it, so that
    # pretrained early layers change less. A layer is a stage, or a block where blocks are numbered first.
    cfg.SOLVER.LAYER_DECAY = 1.0
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
