"""Direct instance segmentation for Detectron2: importing this package registers its models."""

from solo_d2 import model_zoo, modeling
from solo_d2.modeling import meta_arch
from solo_d2.predictor import Predictor

__version__ = "0.1.0"

__all__ = ["Predictor", "meta_arch", "model_zoo", "modeling"]
