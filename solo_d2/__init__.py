"""Direct instance segmentation for Detectron2: importing this package registers its models."""

from solo_d2 import methods, model_zoo, modeling
from solo_d2.predictor import Predictor

__version__ = "0.1.0"

__all__ = ["Predictor", "methods", "model_zoo", "modeling"]
