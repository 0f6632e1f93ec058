"""Deployable forms of a trained model."""
