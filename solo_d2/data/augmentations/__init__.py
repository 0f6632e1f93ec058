"""Augmentations of training images that Detectron2 lacks."""
