"""The results of a predictor: Detectron2's instances of a picture that can be drawn and converted."""

from .prediction import Prediction

__all__ = ["Prediction"]
