"""Keys that make a trained model faster."""

from detectron2.config import CfgNode


def add_inference_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.INFERENCE``, which Predictor, demo and --eval-only read; training does not."""
    cfg.MODEL.INFERENCE = CfgNode()
    # Number format of the network: "fp32", "bf16" or "fp16". Scores, NMS and masks stay float32. On a CPU
    # without bf16 instructions bf16 is slower than fp32.
    cfg.MODEL.INFERENCE.PRECISION = "fp32"
    # Whether to fold batch norms into their convolutions. Results change by rounding only.
    cfg.MODEL.INFERENCE.FOLD_NORM = False
    # Whether to compile the network with torch.compile: the first picture of each size takes up to minutes.
    cfg.MODEL.INFERENCE.COMPILE = False
