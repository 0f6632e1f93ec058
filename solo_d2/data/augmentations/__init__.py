"""Augmentations of training images that Detectron2 does not have."""
