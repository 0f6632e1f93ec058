"""Evaluators and result files."""
