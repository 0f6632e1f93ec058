"""Direct instance segmentation for Detectron2: importing this package registers its models."""

from solo_d2 import methods, model_zoo, modeling
from solo_d2.predictor import Predictor
from solo_d2.utils.version import __version__

__all__ = ["Predictor", "__version__", "methods", "model_zoo", "modeling"]
